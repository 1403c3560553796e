//! Hostile files: hand-made malformed ones and seeded mutations of them, for every parser of files.
//!
//! No input may panic, run longer than a second, or hold more than 64 MB beyond what was held before.
//! Stable Rust without a fuzzer: mutations come from a fixed seed, so a failure names an input that
//! can be made again.

use plimsoll::catalogue::check::read_model;
use plimsoll::catalogue::rig::machine;
use plimsoll::catalogue::store::Catalogue;
use plimsoll::catalogue::write::write_spec;
use plimsoll::import::source::import;
use plimsoll::serving::workload::{Coming, Extent, Run, read_trace, read_workload};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The system allocator, counting bytes held now and at most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[allow(
    unsafe_code,
    reason = "counting allocations needs an allocator; it passes every call to the system's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
        MOST.fetch_max(held.saturating_sub(layout.size()), Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MOST_BYTES: usize = 64_000_000;
const MOST_TIME: Duration = Duration::from_secs(1);
/// Mutations of each input.
const MUTATIONS: u64 = 200;

/// What reads an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Parser {
    Config,
    Safetensors,
    Index,
    Gguf,
    Spec,
    Rig,
    Workload,
    Trace,
}

impl Parser {
    const ALL: [Self; 8] = [
        Self::Config,
        Self::Safetensors,
        Self::Index,
        Self::Gguf,
        Self::Spec,
        Self::Rig,
        Self::Workload,
        Self::Trace,
    ];

    /// The inputs written by hand, the first of which is there to be understood where one can be.
    fn inputs(self) -> Vec<Vec<u8>> {
        match self {
            Self::Config => configs(),
            Self::Safetensors => safetensors(),
            Self::Index => indexes(),
            Self::Gguf => ggufs(),
            Self::Spec => specs(),
            Self::Rig => rigs(),
            Self::Workload => workloads(),
            Self::Trace => traces(),
        }
    }

    /// Reads the input as the command line would; whether it was understood.
    fn reads(self, bytes: &[u8], folder: &Path, catalogue: &Catalogue) -> bool {
        let file = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, bytes).expect("a temporary file");
            let read = import(&path, Some("m"));
            // What was understood must be written and read again.
            if let Ok(spec) = &read {
                let text = write_spec(spec).expect("an imported spec is written");
                read_model("m.toml", &text).expect("and read again");
            }
            read.is_ok()
        };
        let text = String::from_utf8_lossy(bytes);
        match self {
            Self::Config => file("config-of-test.json"),
            Self::Safetensors => file("x.safetensors"),
            Self::Index => file("model.safetensors.index.json"),
            Self::Gguf => file("x.gguf"),
            Self::Spec => read_model("m.toml", &text).is_ok(),
            Self::Rig => machine("rig.toml", &text, catalogue).is_ok(),
            Self::Workload => read_workload("w.toml", &text).is_ok_and(|spec| {
                // What was understood must have means and requests.
                let run =
                    Run::Open { coming: Coming::Requests(1.0), extent: Extent::Requests(50), hour: 3.0 };
                spec.profile(Some(4096)).input > 0.0 && !spec.traffic(run, None, 1).sessions.is_empty()
            }),
            Self::Trace => read_trace("t.csv", bytes).is_ok(),
        }
    }
}

/// A header of safetensors with its length before it.
fn headed(json: &str) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
}

/// A GGUF header: version, counts, and what follows them.
fn gguf(version: u32, tensors: u64, keys: u64, rest: &[u8]) -> Vec<u8> {
    [b"GGUF", &version.to_le_bytes()[..], &tensors.to_le_bytes(), &keys.to_le_bytes(), rest].concat()
}

/// A metadata key of GGUF with a value of a type.
fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&(name.len() as u64).to_le_bytes()[..], name.as_bytes(), &kind.to_le_bytes(), value].concat()
}

const LLAMA: &str = r#"{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100, "max_position_embeddings": 4096}"#;
const TENSOR: &str = r#"{"model.embed_tokens.weight": {"dtype": "BF16", "shape": [100, 64], "data_offsets": [0, 12800]},
    "model.layers.0.self_attn.q_proj.weight": {"dtype": "BF16", "shape": [128, 64], "data_offsets": [12800, 29184]},
    "model.layers.0.self_attn.k_proj.weight": {"dtype": "BF16", "shape": [128, 64], "data_offsets": [29184, 45568]},
    "model.layers.0.mlp.gate_proj.weight": {"dtype": "BF16", "shape": [128, 64], "data_offsets": [45568, 61952]}}"#;

/// Configs: one sound, the rest broken in ways that were thought of, as are those below.
fn configs() -> Vec<Vec<u8>> {
    let with = |from: &str, to: &str| LLAMA.replace(from, to).into_bytes();
    vec![
        LLAMA.into(),
        vec![],
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe{}".to_vec(),
        "[".repeat(100_000).into_bytes(),
        r#"{"a":"#.repeat(100_000).into_bytes(),
        with("64", "-1"),
        with("64", "1e308"),
        with("64", "18446744073709551615"),
        with("64", "99999999"),
        with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1999"),
        with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4000000000"),
        with("100,", "0,"),
        with("4096}", "4096, \"layer_types\": [\"dreaming\", null]}"),
        with("4096}", &format!("4096, \"layer_types\": [{}0]}}", "0,".repeat(200_000))),
        with("4096}", "4096, \"num_experts\": 99999999, \"num_experts_per_tok\": 99999999}"),
        with("4096}", "4096, \"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 1e9}}"),
        with("4096}", "4096, \"text_config\": {\"hidden_size\": \"x\"}}"),
        with("4096}", "4096, \"compress_ratios\": [0, 18446744073709551615], \"head_dim\": 3}"),
        with("4096}", "4096, \"num_nextn_predict_layers\": 99999999, \"hc_mult\": 99999999}"),
        with("4096}", "4096, \"layers_block_type\": [\"mamba\"], \"hybrid_override_pattern\": \"M*-E?\"}"),
        with("llama", "deepseek_v4"),
        with("llama", "gemma3n"),
    ]
}

/// Files of safetensors.
fn safetensors() -> Vec<Vec<u8>> {
    let tensors = |from: &str, to: &str| headed(&TENSOR.replace(from, to));
    vec![
        headed(TENSOR),
        vec![],
        vec![1, 2, 3],
        u64::MAX.to_le_bytes().to_vec(),
        16_000_001_u64.to_le_bytes().to_vec(),
        [&15_999_999_u64.to_le_bytes()[..], b"{}"].concat(),
        headed("{}"),
        headed("[]"),
        headed(&"[".repeat(100_000)),
        headed(&r#"{"__metadata__":{"a":"#.repeat(50_000)),
        headed(&format!(
            "{{{}}}",
            (0..120_000)
                .map(|n| format!(
                    "\"{n}\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[{n},{}]}}",
                    n + 1
                ))
                .collect::<Vec<_>>()
                .join(",")
        )),
        headed(&format!(
            r#"{{"a":{{"dtype":"U8","shape":[{}1],"data_offsets":[0,1]}}}}"#,
            "1,".repeat(500_000)
        )),
        headed(&format!(
            r#"{{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#,
            "a.".repeat(500_000)
        )),
        tensors("BF16", "BF17"),
        tensors("[100, 64]", "[18446744073709551615, 18446744073709551615]"),
        tensors("[0, 12800]", "[12800, 0]"),
        tensors("[0, 12800]", "[0, 18446744073709551615]"),
        tensors("[0, 12800]", "[-1, 12800]"),
        tensors("[100, 64]", "[0, 64]"),
        tensors("layers.0", "layers.4294967295"),
        tensors("layers.0", "layers.1999"),
        tensors("model.", "visual."),
        [headed(TENSOR), vec![0; 17]].concat(),
    ]
}

/// Indexes of checkpoints in several files.
fn indexes() -> Vec<Vec<u8>> {
    let index = |file: &str| {
        format!(r#"{{"metadata": {{"total_size": 5}}, "weight_map": {{"a": "{file}"}}}}"#).into_bytes()
    };
    vec![
        index("not-there.safetensors"),
        index("../../etc/passwd"),
        index("/dev/zero"),
        index("..safetensors"),
        index(&"x".repeat(100_000)),
        b"{\"weight_map\": 5}".to_vec(),
        b"{\"weight_map\": {}}".to_vec(),
        format!(
            "{{\"weight_map\": {{{}}}}}",
            (0..3000).map(|n| format!("\"{n}\":\"{n}.safetensors\"")).collect::<Vec<_>>().join(",")
        )
        .into_bytes(),
    ]
}

/// GGUF files.
fn ggufs() -> Vec<Vec<u8>> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let architecture = key("general.architecture", 8, &text("llama"));
    let figures = [
        ("context_length", 4096_u32),
        ("embedding_length", 64),
        ("block_count", 2),
        ("feed_forward_length", 128),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("vocab_size", 100),
    ];
    let figures = figures.map(|(name, figure)| key(&format!("llama.{name}"), 4, &figure.to_le_bytes()));
    let sound = [architecture.clone(), figures.concat()].concat();
    let list_of = |kind: u32, length: u64| [&kind.to_le_bytes()[..], &length.to_le_bytes()].concat();
    let recorded = ["llama", "llama-big-endian", "gemma3", "deepseek2", "qwen35", "gpt-oss"];
    let recorded = recorded.map(|name| file(&format!("tests/gguf/recorded/{name}.gguf"))).to_vec();
    let broken = vec![
        gguf(3, 0, 8, &sound),
        gguf(3, 0, 1, &architecture),
        vec![],
        b"GGUF".to_vec(),
        b"GGUX\x03\0\0\0".to_vec(),
        gguf(0, 0, 0, &[]),
        gguf(u32::MAX, 0, 0, &[]),
        gguf(3_u32.swap_bytes(), 0, 0, &[]),
        gguf(3, u64::MAX, 0, &[]),
        gguf(3, 0, u64::MAX, &[]),
        gguf(3, 3_999_999, 3_999_999, &[]),
        gguf(3, 0, 1, &u64::MAX.to_le_bytes()),
        gguf(3, 0, 1, &[&3_000_000_u64.to_le_bytes()[..], b"short"].concat()),
        gguf(3, 0, 1, &key("a", 99, &[])),
        gguf(3, 0, 1, &key("a", 9, &list_of(9, 5))),
        gguf(3, 0, 1, &key("a", 9, &list_of(8, 3_999_999))),
        gguf(3, 0, 1, &key("a", 9, &list_of(0, u64::MAX))),
        gguf(3, 0, 1, &key("general.architecture", 4, &7_u32.to_le_bytes())),
        gguf(3, 1, 1, &[architecture.clone(), text("t"), 900_u32.to_le_bytes().to_vec()].concat()),
        gguf(3, 1, 1, &[architecture, text("t"), 4_u32.to_le_bytes().to_vec(), vec![0xff; 44]].concat()),
    ];
    [recorded, broken].concat()
}

/// A file of the repository.
fn file(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of the repository")
}

/// Model specs.
fn specs() -> Vec<Vec<u8>> {
    let spec = String::from_utf8(file("model-specs/qwen3-8b.toml")).expect("UTF-8");
    let spec_with = |from: &str, to: &str| spec.replace(from, to).into_bytes();
    vec![
        spec.clone().into_bytes(),
        file("model-specs/deepseek-v4-pro.toml"),
        file("src/tests/bad_input/spec-layers-overlap.toml"),
        file("src/tests/bad_input/spec-unknown-block.toml"),
        file("src/tests/bad_input/spec-heads-do-not-divide.toml"),
        vec![],
        "a = ".repeat(50_000).into_bytes(),
        format!("a = {}", "[".repeat(50_000)).into_bytes(),
        spec_with("at ", "at = \"0-9999/1\"\nat2 "),
        format!("{spec}\n[[held]]\npart = \"layers\"\nat = \"0-9999\"\nbytes = 9223372036854775807\n")
            .into_bytes(),
        format!("{spec}\n[[held]]\npart = \"output\"\nbytes = -5\n").into_bytes(),
        format!("{spec}\n[[held]]\npart = \"soul\"\nbytes = 5\n").into_bytes(),
    ]
}

/// Rigs: the documented one, and the bad ones whose messages are golden files.
fn rigs() -> Vec<Vec<u8>> {
    let mut rigs: Vec<PathBuf> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/bad_input"))
            .expect("the folder of bad inputs")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rig-")))
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .collect();
    rigs.sort();
    let bad = rigs.iter().map(|path| fs::read(path).expect("a rig"));
    let first = [file("examples/my-rig.toml"), b"accelerator = \"4294967296x h200-sxm\"".to_vec()];
    first.into_iter().chain(bad).collect()
}

/// Workloads: laws of every kind, and a mix with long sessions.
fn workloads() -> Vec<Vec<u8>> {
    let every = r#"
name = "every"
about = "every law"
arrivals = { kind = "daily", hours = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0], cv = 2 }
levels = { ttft = "p99:3s", tpot = "40ms", end_to_end = "60s", goodput = 0.9 }
[[class]]
name = "a"
share = 0.5
common = { tokens = 100 }
turns = { kind = "geometric", mean = 3 }
first = { kind = "histogram", upto = [10, 20, 30], share = [1, 2, 3] }
next = { kind = "uniform", low = 5, high = 9 }
output = { kind = "lognormal", mean = 20, p95 = 60 }
think_s = { kind = "exponential", mean = 6 }
limit = { tokens = 4000 }
[[class]]
name = "b"
share = 0.5
turns = { kind = "lognormal", median = 2, p95 = 900 }
first = { kind = "fixed", value = 9 }
output = { kind = "fixed", value = 9 }
answer_kept = { share = 0.5 }
"#;
    vec![every.into(), vec![], b"class = 3".to_vec(), b"[[class]]\n".to_vec()]
}

/// Traces: the example, and what no log writes.
fn traces() -> Vec<Vec<u8>> {
    vec![
        file("examples/workloads/trace.csv"),
        vec![],
        b"time,input,output\n1e400,1,1\n".to_vec(),
        b"time,input,output\n-0,1,1\n1,1,1\n".to_vec(),
        b"time,input,output\n9999-12-31 23:59,1,1\n".to_vec(),
        [&b"time,input,output\n"[..], &b"\"".repeat(70_000)].concat(),
        b",".repeat(200_000),
        b"\n".repeat(1_000_000),
    ]
}

/// Numbers of a fixed sequence (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// A figure in the text replaced by one that is small, large or absurd, which leaves the text well-formed.
fn other_figure(bytes: &mut Vec<u8>, random: &mut Random) {
    const FIGURES: [&[u8]; 10] = [
        b"0",
        b"1",
        b"2",
        b"3",
        b"7",
        b"1999",
        b"65537",
        b"99999999",
        b"4294967296",
        b"18446744073709551615",
    ];
    let at = random.below(bytes.len());
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let end =
        bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |end| start + end);
    bytes.splice(start..end, FIGURES[random.below(FIGURES.len())].iter().copied());
}

/// The same mutation of what follows the length of a header, the length restated.
fn mutated_header(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let json = mutated(bytes.get(8..).unwrap_or_default(), random);
    [&(json.len() as u64).to_le_bytes()[..], &json].concat()
}

/// One to four changes: a figure, a flipped bit, a cut, a repeat, an insertion that breaks or exaggerates, an end.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    const INSERTED: [&[u8]; 12] = [
        b"{",
        b"[",
        b"\"",
        b"-1",
        b"18446744073709551615",
        b"1e999",
        b"\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"null",
        b"\n[a]\n",
        b"= ",
        b"\xe2\x82",
    ];
    let mut bytes = bytes.to_vec();
    // Half of all inputs stay well-formed, so that what comes after the syntax is reached.
    let only_figures = random.below(2) == 0;
    for _ in 0..=random.below(4) {
        if only_figures {
            other_figure(&mut bytes, random);
            continue;
        }
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes.truncate(at),
            _ => {
                let inserted = INSERTED[random.below(INSERTED.len())];
                bytes.splice(at..at, inserted.iter().copied());
            }
        }
    }
    bytes
}

/// What one parser needed over all inputs.
#[derive(Default)]
struct Needed {
    runs: u64,
    understood: u64,
    longest: Duration,
    largest: usize,
}

#[test]
#[allow(clippy::print_stdout, reason = "the figures are what this test is read for")]
fn no_file_panics_stalls_or_fills_memory() {
    let folder = std::env::temp_dir().join(format!("plimsoll-malformed-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    // Files of a checkpoint are read for the sizes of the config beside them.
    fs::write(folder.join("config.json"), LLAMA).expect("a config");
    let catalogue = Catalogue::embedded();
    let written: usize = Parser::ALL.iter().map(|parser| parser.inputs().len()).sum();
    assert!(written >= 60, "{written} inputs");
    let mut failures = Vec::new();
    let mut random = Random(0x5eed_0fa1);
    for parser in Parser::ALL {
        let mut needed = Needed::default();
        let inputs = parser.inputs();
        // What is read once and kept is not of an input.
        parser.reads(&inputs[0], &folder, &catalogue);
        for (number, input) in inputs.iter().enumerate() {
            for mutation in 0..=MUTATIONS {
                // The large ones are of interest as they are: their mutations are those of the small.
                if mutation > 4 && input.len() > 100_000 {
                    break;
                }
                let bytes = match (mutation, parser) {
                    (0, _) => input.clone(),
                    (_, Parser::Safetensors) if mutation % 2 == 0 => mutated_header(input, &mut random),
                    _ => mutated(input, &mut random),
                };
                let before = HELD.load(Ordering::Relaxed);
                MOST.store(before, Ordering::Relaxed);
                let start = Instant::now();
                let read = catch_unwind(|| parser.reads(&bytes, &folder, &catalogue));
                // Another program may take the processor: only an input that is slow twice is slow.
                let time = match start.elapsed() {
                    time if time <= MOST_TIME || read.is_err() => time,
                    _ => {
                        let again = Instant::now();
                        parser.reads(&bytes, &folder, &catalogue);
                        again.elapsed()
                    }
                };
                let held = MOST.load(Ordering::Relaxed).saturating_sub(before);
                needed.runs += 1;
                needed.understood += u64::from(matches!(read, Ok(true)));
                needed.longest = needed.longest.max(time);
                needed.largest = needed.largest.max(held);
                if read.is_err() || time > MOST_TIME || held > MOST_BYTES {
                    let panicked = read.is_err();
                    failures.push(format!(
                        "{parser:?} input {number} mutation {mutation}: panicked {panicked}, {time:?}, {held} bytes"
                    ));
                }
            }
        }
        let Needed { runs, understood, longest, largest } = needed;
        println!(
            "{parser:?}: {runs} runs, {understood} understood, longest {longest:?}, most {largest} bytes"
        );
    }
    println!("{written} inputs written by hand");
    fs::remove_dir_all(&folder).expect("the temporary folder goes");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
