//! Bad input: every kind ends with exit code 2, names the place, says what was expected and what
//! may have been meant, and never panics. Messages are golden files beside their inputs.

use std::path::Path;
use std::process::Command;

/// A question that goes wrong: the name of its golden file, and its arguments. `@x` is the input
/// file `x` beside the golden files.
const CASES: &[(&str, &[&str])] = &[
    // Rig files.
    ("rig-broken-toml", &["--hw", "@rig-broken-toml.toml"]),
    ("rig-unknown-key", &["--hw", "@rig-unknown-key.toml"]),
    ("rig-negative-size", &["--hw", "@rig-negative-size.toml"]),
    ("rig-gib-that-is-gb", &["--hw", "@rig-gib-that-is-gb.toml"]),
    ("rig-zero-gpus", &["--hw", "@rig-zero-gpus.toml"]),
    ("rig-unknown-accelerator", &["--hw", "@rig-unknown-accelerator.toml"]),
    ("rig-wrong-type", &["--hw", "@rig-wrong-type.toml"]),
    ("rig-size-without-unit", &["--hw", "@rig-size-without-unit.toml"]),
    ("rig-unknown-unit", &["--hw", "@rig-unknown-unit.toml"]),
    ("rig-absurd-size", &["--hw", "@rig-absurd-size.toml"]),
    ("rig-memory-beyond-datasheet", &["--hw", "@rig-memory-beyond-datasheet.toml"]),
    ("rig-empty", &["--hw", "@rig-empty.toml"]),
    ("rig-not-utf8", &["--hw", "@rig-not-utf8.toml"]),
    ("rig-missing-file", &["--hw", "rig-unknown-kee.toml"]),
    ("rig-is-a-folder", &["--hw", "@."]),
    ("rig-system-and-parts", &["--hw", "@rig-system-and-parts.toml"]),
    ("rig-channels-beyond-processor", &["--hw", "@rig-channels-beyond-processor.toml"]),
    ("rig-many-problems", &["--hw", "@rig-many-problems.toml"]),
    // Hardware in one flag.
    ("hardware-misspelt", &["--hw", "8xh20-smx"]),
    ("hardware-zero", &["--hw", "0xh200-sxm"]),
    ("hardware-nodes-do-not-divide", &["--hw", "16xb200-sxm/3 nodes"]),
    ("hardware-absurd-count", &["--hw", "99999999999xh200-sxm"]),
    ("hardware-count-only", &["--hw", "8x"]),
    ("hardware-ambiguous", &["--hw", "8xh100"]),
    ("hardware-unlike-any", &["--hw", "abacus"]),
    ("hardware-empty", &["--hw", ""]),
    // Models.
    ("model-misspelt", &["--model", "deepseek-v4pro", "--hw", "8xh200-sxm"]),
    ("model-empty", &["--model", "", "--hw", "8xh200-sxm"]),
    ("model-missing-config", &["--model", "no/such/config.json", "--hw", "8xh200-sxm"]),
    ("model-folder-without-config", &["--model", "@catalogue-empty", "--hw", "8xh200-sxm"]),
    ("model-unlike-any", &["--model", "zzz", "--hw", "8xh200-sxm"]),
    ("model-config-broken-json", &["--model", "@config-broken.json", "--hw", "8xh200-sxm"]),
    ("model-config-lacks-keys", &["--model", "@config-lacks-keys.json", "--hw", "8xh200-sxm"]),
    ("model-config-not-a-model", &["--model", "@config-not-a-model.json", "--hw", "8xh200-sxm"]),
    ("model-gguf-broken", &["--model", "@half-downloaded.gguf", "--hw", "8xh200-sxm"]),
    ("model-spec-empty", &["--model", "@rig-empty.toml", "--hw", "8xh200-sxm"]),
    ("model-spec-layers-overlap", &["--model", "@spec-layers-overlap.toml", "--hw", "8xh200-sxm"]),
    ("model-spec-unknown-block", &["--model", "@spec-unknown-block.toml", "--hw", "8xh200-sxm"]),
    ("model-spec-heads-do-not-divide", &["--model", "@spec-heads-do-not-divide.toml", "--hw", "8xh200-sxm"]),
    ("model-params-nonsense", &["--params", "many", "--hw", "8xh200-sxm"]),
    ("model-active-beyond-total", &["--params", "40B", "--active", "750B", "--hw", "8xh200-sxm"]),
    ("model-and-params", &["--model", "glm-5.1", "--params", "40B", "--hw", "8xh200-sxm"]),
    // Load and limits.
    ("context-beyond-model", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--context", "10M"]),
    ("context-zero", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--context", "0"]),
    ("context-absurd", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--context", "999999999999999M"]),
    ("context-nonsense", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--context", "long"]),
    ("users-zero", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--users", "0"]),
    (
        "request-beyond-context",
        &[
            "--model",
            "llama-3.1-8b",
            "--hw",
            "rtx-4090",
            "--context",
            "4k",
            "--prompt",
            "4k",
            "--output",
            "1k",
        ],
    ),
    ("tp-beyond-heads", &["--model", "llama-3.1-8b", "--hw", "8xh100-sxm-80gb", "--tp", "5"]),
    ("tp-beyond-devices", &["--model", "llama-3.1-8b", "--hw", "2xh100-sxm-80gb", "--tp", "8"]),
    ("tp-beyond-devices-any-model", &["--hw", "2xh100-sxm-80gb", "--tp", "8"]),
    ("pp-beyond-devices", &["--model", "llama-3.1-8b", "--hw", "8xh100-sxm-80gb", "--pp", "64"]),
    ("tp-without-devices", &["--model", "llama-3.1-8b", "--hw", "2x epyc-9654", "--tp", "2"]),
    ("ep-without-experts", &["--model", "llama-3.1-8b", "--hw", "8xh100-sxm-80gb", "--ep", "true"]),
    ("engine-of-other-hardware", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--engine", "mlx"]),
    (
        "format-of-other-engine",
        &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--engine", "vllm", "--format", "q4_k_m"],
    ),
    ("cache-format-unknown", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--kv", "q3"]),
    ("format-unknown", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--format", "q4_k_n"]),
    ("engine-unknown", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--engine", "vlm"]),
    ("option-unknown", &["--hw", "rtx-4090", "--modle", "llama-3.1-8b"]),
    ("fit-no-layout", &["fit", "llama-3.1-8b", "--hw", "2xh100-sxm-80gb", "--tp", "8"]),
    ("explain-unknown-option", &["explain", "llama-3.1-8b/q4_k_m/vllm/tp64/kv-f16", "--hw", "rtx-4090"]),
    (
        "frontier-all-cached",
        &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--input", "1k", "--cached", "1k"],
    ),
    ("frontier-users-zero", &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--users-max", "0"]),
    (
        "frontier-acceptance-beyond-one",
        &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--draft", "mtp:3", "--acceptance", "1.5"],
    ),
    (
        "frontier-acceptance-without-draft",
        &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--acceptance", "0.5"],
    ),
    ("draft-method-unknown", &["--model", "glm-5.1", "--hw", "8xb200", "--draft", "medusa"]),
    ("draft-tokens-zero", &["--model", "glm-5.1", "--hw", "8xb200", "--draft", "mtp:0"]),
    ("draft-without-layers", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--draft", "mtp"]),
    ("frontier-beyond-context", &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--input", "1M"]),
    ("frontier-format-unknown", &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--format", "q4_k_n"]),
    (
        "frontier-engine-of-other-hardware",
        &["frontier", "llama-3.1-8b", "--hw", "rtx-4090", "--engine", "mlx"],
    ),
    // Sizings.
    ("size-without-demand", &["size", "--model", "glm-5.1"]),
    ("size-for-nobody", &["size", "--model", "glm-5.1", "--users", "0"]),
    ("size-two-demands", &["size", "--model", "glm-5.1", "--users", "5", "--tokens-per-day", "2G"]),
    (
        "size-levels-contradict",
        &["size", "--model", "glm-5.1", "--users", "5", "--ttft", "5s", "--e2e", "1s"],
    ),
    ("size-unknown-maker", &["size", "--model", "glm-5.1", "--users", "5", "--vendor", "nvidai"]),
    ("size-budget-nonsense", &["size", "--model", "glm-5.1", "--users", "5", "--budget", "5k/day"]),
    ("size-growth-nonsense", &["size", "--model", "glm-5.1", "--users", "5", "--growth", "fast"]),
    ("size-own-and-rent", &["size", "--model", "glm-5.1", "--users", "5", "--own", "--rent"]),
    // Workloads and traces.
    ("workload-misspelt", &["--model", "glm-5.1", "--hw", "8xb200", "--workload", "coding-agnt"]),
    ("workload-unlike-any", &["--model", "glm-5.1", "--hw", "8xb200", "--workload", "zzz"]),
    (
        "workload-missing-file",
        &["--model", "glm-5.1", "--hw", "8xb200", "--workload", "workload-many-problem.toml"],
    ),
    ("workload-is-a-folder", &["workloads", "show", "./"]),
    ("workload-many-problems", &["workloads", "check", "@workload-many-problems.toml"]),
    ("workload-levels-contradict", &["workloads", "check", "@workload-levels-contradict.toml"]),
    (
        "workload-beyond-context",
        &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--workload", "@trace-long.csv", "--context", "1k"],
    ),
    ("trace-empty", &["workloads", "check", "@trace-empty.csv"]),
    ("trace-without-columns", &["workloads", "check", "@trace-without-columns.csv"]),
    ("trace-bad-rows", &["workloads", "check", "@trace-bad-rows.csv"]),
    ("trace-mixed-times", &["workloads", "check", "@trace-mixed-times.csv"]),
    ("all-cached", &["--model", "llama-3.1-8b", "--hw", "rtx-4090", "--prompt", "1k", "--cached", "2k"]),
    ("text-without-draft", &["--model", "glm-5.1", "--hw", "8xb200", "--text", "coding"]),
    // Catalogue folders.
    ("catalogue-missing", &["--catalogue", "no-such-folder", "--model", "glm-5.1", "--hw", "rtx-4090"]),
    ("catalogue-empty", &["--catalogue", "@catalogue-empty", "--model", "glm-5.1", "--hw", "rtx-4090"]),
    (
        "catalogue-duplicate-ids",
        &["--catalogue", "@catalogue-duplicate-ids", "--model", "glm-5.1", "--hw", "rtx-4090"],
    ),
    (
        "catalogue-bad-entry",
        &["--catalogue", "@catalogue-bad-entry", "--model", "glm-5.1", "--hw", "rtx-4090"],
    ),
    (
        "catalogue-impossible-model",
        &["--catalogue", "@catalogue-impossible-model", "--model", "glm-5.1", "--hw", "rtx-4090"],
    ),
    ("catalogue-is-a-file", &["--catalogue", "@rig-empty.toml", "--model", "glm-5.1", "--hw", "rtx-4090"]),
    // Validation files.
    ("validate-unknown-header", &["validate", "@validate-unknown-header.csv"]),
    ("validate-bad-number", &["validate", "@validate-bad-number.csv"]),
    ("validate-ragged-rows", &["validate", "@validate-ragged-rows.csv"]),
    ("validate-missing-file", &["validate", "no-such-file.csv"]),
];

#[test]
fn bad_input_is_told_and_ends_with_two() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/bad_input");
    // Not in the repository: git keeps no empty folders.
    std::fs::create_dir_all(folder.join("catalogue-empty")).expect("a folder for the empty catalogue");
    let mut wrong = Vec::new();
    for (name, args) in CASES {
        let args = args.iter().map(|arg| arg.strip_prefix('@').unwrap_or(arg));
        let run = Command::new(env!("CARGO_BIN_EXE_plan"))
            .args(args)
            .args(["--width", "100"])
            .current_dir(&folder)
            .env_remove("HOME")
            .env("NO_COLOR", "1")
            .output()
            .expect("the binary of this package runs");
        if run.status.code() != Some(2) {
            wrong.push(format!("{name}: exit {:?}", run.status.code()));
        }
        let told = String::from_utf8(run.stderr).expect("messages are UTF-8");
        assert!(!told.contains("panicked"), "{name}: {told}");
        let settings = {
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path("bad_input");
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings
        };
        settings.bind(|| insta::assert_snapshot!(*name, told));
    }
    assert!(wrong.is_empty(), "not refused with exit code 2:\n{}", wrong.join("\n"));
}
