//! Whole answers, byte for byte: each rig of `examples/` with a question someone would ask of it.

use std::path::Path;
use std::process::Command;

/// A golden file and the question it answers.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("my-rig", &["--model", "deepseek-v4-pro", "--hw", "my-rig.toml"]),
    ("gaming-pc", &["--model", "qwen3-30b-a3b", "--hw", "gaming-pc.toml"]),
    ("2x3090-workstation", &["fit", "llama-3.1-70b", "--hw", "2x3090-workstation.toml"]),
    ("mac-studio", &["--model", "deepseek-v3.1", "--hw", "mac-studio.toml"]),
    ("strix-halo", &["--model", "gpt-oss-120b", "--hw", "strix-halo.toml"]),
    ("dgx-spark-pair", &["--model", "qwen3-235b-a22b", "--hw", "dgx-spark-pair.toml"]),
    ("epyc-5090", &["--model", "kimi-k2.6", "--hw", "epyc-5090.toml"]),
    ("cpu-server", &["--model", "qwen3-30b-a3b", "--hw", "cpu-server.toml"]),
    ("8xh200-node", &["--model", "glm-5.1", "--hw", "8xh200-node.toml", "--csv"]),
    ("2x8-b200-infiniband", &["--model", "kimi-k2.6", "--hw", "2x8-b200-infiniband.toml"]),
    ("gb300-nvl72", &["--model", "deepseek-v4-pro", "--hw", "gb300-nvl72.toml", "--users", "256"]),
    (
        "size-kimi-k2.6",
        &[
            "size",
            "--model",
            "kimi-k2.6",
            "--users",
            "500",
            "--workload",
            "coding-agent",
            "--ttft",
            "3s",
            "--tpot",
            "40ms",
            "--hardware",
            "h200,b200",
            "--spare",
            "--growth",
            "10%:12",
        ],
    ),
];

#[test]
fn examples_print_what_their_golden_files_show() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (name, args) in QUESTIONS {
        let run = Command::new(env!("CARGO_BIN_EXE_plan"))
            .args(*args)
            .args(["--width", "100"])
            .current_dir(&folder)
            .env_remove("HOME")
            .output()
            .expect("the binary of this package runs");
        let told = String::from_utf8(run.stderr).expect("messages are UTF-8");
        assert!(run.status.code().is_some_and(|code| code < 2), "{name}: {told}");
        let answer = String::from_utf8(run.stdout).expect("answers are UTF-8");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder.join("expected"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_description(format!("plan {}", args.join(" ")));
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(*name, answer));
    }
}

#[test]
fn the_readme_shows_what_the_planner_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(env!("CARGO_BIN_EXE_plan"))
        .args(["--model", "deepseek-v4-pro", "--hw", "examples/my-rig.toml", "--width", "100"])
        .current_dir(root)
        .env_remove("HOME")
        .output()
        .expect("the binary of this package runs");
    let answer = String::from_utf8(run.stdout).expect("answers are UTF-8");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README can be read");
    assert!(readme.contains(answer.trim_end()), "the README no longer shows this:\n{answer}");
}

#[test]
fn the_questions_of_the_readme_are_answered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README can be read");
    let mut asked = 0;
    for line in readme.lines().filter(|line| line.starts_with("| ")) {
        // Code of a table cell; `plan` alone asks about a machine that differs between readers.
        for command in line.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("plan ")) {
            // Arguments in quotes hold blanks.
            let mut args = Vec::new();
            for (i, part) in command.split('"').enumerate() {
                match i % 2 {
                    0 => args.extend(part.split_whitespace()),
                    _ => args.push(part),
                }
            }
            let run = Command::new(env!("CARGO_BIN_EXE_plan"))
                .args(&args)
                .current_dir(root)
                .env_remove("HOME")
                .output()
                .expect("the binary of this package runs");
            let told = String::from_utf8_lossy(&run.stderr).into_owned();
            assert_eq!(run.status.code(), Some(0), "plan {command}: {told}");
            asked += 1;
        }
    }
    assert!(asked >= 8, "the README asks {asked} questions");
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plan.schema.json");
    let run = Command::new(env!("CARGO_BIN_EXE_plan"))
        .arg("schema")
        .output()
        .expect("the binary of this package runs");
    let generated = String::from_utf8(run.stdout).expect("the schema is UTF-8");
    let committed = std::fs::read_to_string(path).expect("the schema is committed");
    assert!(committed == generated, "run `plan schema > docs/plan.schema.json`");
}
