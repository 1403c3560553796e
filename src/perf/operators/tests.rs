//! Tables written in the schema of the package.

use super::*;
use crate::perf::deployment::Engine;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A column of a table to write.
pub(super) enum Cells {
    Counts(&'static str, Vec<i64>),
    Reals(&'static str, Vec<f64>),
    Words(&'static str, Vec<&'static str>),
}

/// A folder that goes when the test is done.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("plimsoll-operators-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Writes a table of the H200 below the folder.
    pub(super) fn table(
        &self,
        family: &str,
        framework: &str,
        version: &str,
        operator: &str,
        cells: &[Cells],
    ) {
        let folder = self.0.join("systems/data/h200_sxm").join(family).join(framework).join(version);
        fs::create_dir_all(&folder).unwrap();
        write(&folder.join(format!("{operator}_perf.parquet")), cells);
    }

    fn vllm(&self) -> DeviceTables {
        let operators = Operators::open(&self.0).unwrap();
        operators.device("h200-sxm", Engine::Vllm, None).unwrap().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, cells: &[Cells]) {
    let fields: Vec<String> = cells
        .iter()
        .map(|cells| match cells {
            Cells::Counts(name, _) => format!("optional int64 {name};"),
            Cells::Reals(name, _) => format!("optional double {name};"),
            Cells::Words(name, _) => format!("optional binary {name} (UTF8);"),
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message t {{ {} }}", fields.join(" "))).unwrap());
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = Arc::new(WriterProperties::builder().set_compression(zstd).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for cells in cells {
        let mut column = group.next_column().unwrap().unwrap();
        match cells {
            Cells::Counts(_, v) => {
                column.typed::<Int64Type>().write_batch(v, Some(&vec![1; v.len()]), None).unwrap();
            }
            Cells::Reals(_, v) => {
                column.typed::<DoubleType>().write_batch(v, Some(&vec![1; v.len()]), None).unwrap();
            }
            Cells::Words(_, v) => {
                let words: Vec<ByteArray> = v.iter().map(|word| ByteArray::from(*word)).collect();
                column.typed::<ByteArrayType>().write_batch(&words, Some(&vec![1; v.len()]), None).unwrap();
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// Rows of a table of products: type, m, n, k, milliseconds.
pub(super) fn products(rows: &[(&'static str, i64, i64, i64, f64)]) -> Vec<Cells> {
    vec![
        Cells::Words("gemm_dtype", rows.iter().map(|row| row.0).collect()),
        Cells::Counts("m", rows.iter().map(|row| row.1).collect()),
        Cells::Counts("n", rows.iter().map(|row| row.2).collect()),
        Cells::Counts("k", rows.iter().map(|row| row.3).collect()),
        Cells::Reals("latency", rows.iter().map(|row| row.4).collect()),
    ]
}

const PRODUCTS: [(&str, i64, i64, i64, f64); 5] = [
    ("bfloat16", 1, 4096, 4096, 0.01),
    ("bfloat16", 64, 4096, 4096, 0.01),
    ("bfloat16", 256, 4096, 4096, 0.04),
    ("bfloat16", 1, 16384, 4096, 0.036),
    ("fp8", 1, 4096, 4096, 0.008),
];

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-9
}

#[test]
fn products_are_measured_between_and_beyond() {
    let scratch = Scratch::new("products");
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&PRODUCTS));
    let tables = scratch.vllm();
    for (word, m, n, k, ms) in PRODUCTS {
        let format = Format::named(word).unwrap();
        let timing = tables.gemm(format, m as f64, n as f64, k as f64).unwrap();
        assert_eq!(timing, Timing { seconds: ms * 1e-3, basis: Basis::Measured });
    }
    let bf16 = |m, n, k| tables.gemm(Format::Bf16, m, n, k).unwrap();
    // Half way in log: the geometric mean.
    let between = bf16(128.0, 4096.0, 4096.0);
    assert_eq!(between.basis, Basis::Interpolated);
    assert!(close(between.seconds, 20e-6), "{between:?}");
    // Twice the outputs of a table that stops at 16384: twice the bytes, but for the activations.
    let beyond = bf16(1.0, 32768.0, 4096.0);
    assert!(close(beyond.seconds, 72e-6 * (32768.0 * 8194.0 + 8192.0) / (32768.0 * 8194.0 + 16384.0)));
    assert!(matches!(beyond.basis, Basis::Extrapolated { reach } if (1.99..2.0).contains(&reach)));
    assert_eq!(tables.gemm(Format::Nvfp4, 1.0, 4096.0, 4096.0), None);
    assert_eq!(tables.experts(&mixture(), 1.0), None);
}

#[test]
fn older_versions_fill_what_the_newest_lacks() {
    let scratch = Scratch::new("versions");
    let one = |word, ms| products(&[(word, 1, 64, 64, ms)]);
    scratch.table("gemm", "vllm", "0.9.0", "gemm", &one("bfloat16", 3.0));
    scratch.table("gemm", "vllm", "0.10.0", "gemm", &one("fp8", 2.0));
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &one("fp8", 1.0));
    let operators = Operators::open(&scratch.0).unwrap();
    let versions: Vec<&str> = operators.inventory().iter().map(|table| table.version.as_str()).collect();
    assert_eq!(versions, ["0.24.0", "0.10.0", "0.9.0"]);
    let ms = |format, version| {
        let tables = operators.device("h200-sxm", Engine::Vllm, version).unwrap()?;
        tables.gemm(format, 1.0, 64.0, 64.0).map(|timing| (timing.seconds * 1e3).round())
    };
    assert_eq!((ms(Format::Fp8, None), ms(Format::Bf16, None)), (Some(1.0), Some(3.0)));
    assert_eq!(ms(Format::Fp8, Some("0.23.1")), Some(2.0));
    assert_eq!(ms(Format::Fp8, Some("0.8.0")), None);
    assert!(operators.device("h200-sxm", Engine::LlamaCpp, None).unwrap().is_none());
    assert!(operators.device("h200-sxm", Engine::Sglang, None).unwrap().is_none());
    assert!(operators.device("mi300x", Engine::Vllm, None).unwrap().is_none());
}

#[test]
fn the_folder_may_be_any_of_three() {
    let scratch = Scratch::new("folders");
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&PRODUCTS));
    let roots = ["", "systems", "systems/data"].map(|inside| scratch.0.join(inside));
    for root in roots {
        assert_eq!(Operators::open(&root).unwrap().inventory().len(), 1, "{}", root.display());
    }
    let error = Operators::open(&scratch.0.join("systems/data/h200_sxm/gemm")).unwrap_err();
    assert!(matches!(error, OperatorsError::NoTables { .. }), "{error}");
}

#[test]
fn faults_name_the_file() {
    let fault = |name: &str, spoil: &dyn Fn(&Scratch)| {
        let scratch = Scratch::new(name);
        spoil(&scratch);
        let operators = Operators::open(&scratch.0).unwrap();
        operators.device("h200-sxm", Engine::Vllm, None).unwrap_err().to_string()
    };
    let lacking = fault("lacking", &|scratch| {
        let mut cells = products(&PRODUCTS);
        cells.remove(2);
        scratch.table("gemm", "vllm", "0.24.0", "gemm", &cells);
    });
    assert!(lacking.ends_with("gemm_perf.parquet` has no column `n`"), "{lacking}");
    let wrong = fault("wrong", &|scratch| {
        let mut cells = products(&PRODUCTS);
        cells[1] = Cells::Words("m", vec!["many"; PRODUCTS.len()]);
        scratch.table("gemm", "vllm", "0.24.0", "gemm", &cells);
    });
    assert!(wrong.starts_with("column `m` of") && wrong.ends_with("does not hold numbers"), "{wrong}");
    let damaged = fault("damaged", &|scratch| {
        scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&PRODUCTS));
        let file = scratch.0.join("systems/data/h200_sxm/gemm/vllm/0.24.0/gemm_perf.parquet");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    });
    assert!(damaged.contains("is not a Parquet file we can read"), "{damaged}");
}

#[test]
fn any_damage_is_an_answer_or_an_error() {
    let scratch = Scratch::new("bytes");
    scratch.table("gemm", "vllm", "0.24.0", "gemm", &products(&PRODUCTS));
    let file = scratch.0.join("systems/data/h200_sxm/gemm/vllm/0.24.0/gemm_perf.parquet");
    let whole = fs::read(&file).unwrap();
    let operators = Operators::open(&scratch.0).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x5a;
        fs::write(&file, spoilt).unwrap();
        if let Ok(Some(tables)) = operators.device("h200-sxm", Engine::Vllm, None) {
            let timing = tables.gemm(Format::Bf16, 7.0, 5000.0, 4096.0);
            assert!(timing.is_none_or(|timing| timing.seconds > 0.0), "{timing:?}");
        }
    }
}

/// The mixture of the tests.
fn mixture() -> Experts {
    Experts {
        format: Format::Fp8Block,
        routing: Routing::Skewed,
        hidden: 7168.0,
        inner: 2048.0,
        count: 256.0,
        active: 8.0,
        tp: 1.0,
        ep: 8.0,
    }
}

#[test]
fn experts_of_another_layer_scale_with_work() {
    let scratch = Scratch::new("experts");
    let counts = |name, value| Cells::Counts(name, vec![value; 2]);
    let cells = [
        Cells::Words("moe_dtype", vec!["fp8_block"; 2]),
        Cells::Words("distribution", vec!["power_law_1.01"; 2]),
        counts("hidden_size", 7168),
        counts("inter_size", 2048),
        counts("num_experts", 256),
        counts("topk", 8),
        counts("moe_tp_size", 1),
        counts("moe_ep_size", 8),
        Cells::Counts("num_tokens", vec![1024, 4096]),
        Cells::Reals("latency", vec![0.5, 2.0]),
    ];
    scratch.table("moe", "vllm", "0.24.0", "moe", &cells);
    let tables = scratch.vllm();
    let measured = tables.experts(&mixture(), 1024.0).unwrap();
    assert_eq!(measured, Timing { seconds: 0.5e-3, basis: Basis::Measured });
    let wider = tables.experts(&Experts { inner: 3072.0, ..mixture() }, 4096.0).unwrap();
    // Half more weights, the same rows moved: between the two ratios.
    assert!((2.6e-3..=3.0e-3).contains(&wider.seconds), "{wider:?}");
    assert!(matches!(wider.basis, Basis::Extrapolated { .. }));
}

#[test]
fn attention_of_both_phases() {
    let scratch = Scratch::new("attention");
    let cells = |new: [i64; 2], prefix: [i64; 2]| {
        [
            Cells::Counts("num_key_value_heads", vec![8; 2]),
            Cells::Counts("num_heads", vec![32; 2]),
            Cells::Counts("head_dim", vec![128; 2]),
            Cells::Counts("batch_size", vec![4; 2]),
            Cells::Counts("isl", new.to_vec()),
            Cells::Counts("step", prefix.to_vec()),
            Cells::Words("kv_cache_dtype", vec!["bfloat16"; 2]),
            Cells::Words("attn_dtype", vec!["bfloat16"; 2]),
            Cells::Reals("latency", vec![0.01, 0.04]),
        ]
    };
    scratch.table("attention", "vllm", "0.24.0", "generation_attention", &cells([1, 1], [1023, 4095]));
    scratch.table("attention", "vllm", "0.24.0", "context_attention", &cells([1024, 4096], [0, 0]));
    let tables = scratch.vllm();
    let heads = Heads {
        query: 32.0,
        kv: 8.0,
        size: 128.0,
        window: None,
        cache: Cache::Bf16,
        multiplied: Cache::Bf16,
    };
    let decode = |heads: &Heads, context| tables.attention_decode(heads, 4.0, context).unwrap();
    assert_eq!(decode(&heads, 1024.0), Timing { seconds: 10e-6, basis: Basis::Measured });
    assert!(close(decode(&heads, 2048.0).seconds, 20e-6));
    // Twice the cache takes twice as long, and a window stops growth.
    assert!((decode(&heads, 8192.0).seconds / 80e-6 - 1.0).abs() < 0.01);
    let window = Heads { window: Some(1024.0), ..heads };
    assert!((decode(&window, 4096.0).seconds / 10e-6 - 1.0).abs() < 0.05, "{:?}", decode(&window, 4096.0));
    let prefill = tables.attention_prefill(&heads, 4.0, 4096.0, 0.0).unwrap();
    assert_eq!(prefill, Timing { seconds: 40e-6, basis: Basis::Measured });
    // After as many cached tokens each new one sees three times as many.
    let after = tables.attention_prefill(&heads, 4.0, 4096.0, 4096.0).unwrap();
    assert!(close(after.seconds, 120e-6), "{after:?}");
}

#[test]
fn modules_are_told_apart_by_family_width_and_types() {
    let scratch = Scratch::new("modules");
    let cells = |model, skips| {
        [
            Cells::Words("model", vec![model; 2]),
            Cells::Words("op_name", vec!["dsa_generation_module", skips]),
            Cells::Words("gemm_type", vec!["fp8_block"; 2]),
            Cells::Words("kv_cache_dtype", vec!["fp8"; 2]),
            Cells::Counts("num_heads", vec![16; 2]),
            Cells::Counts("batch_size", vec![8; 2]),
            Cells::Counts("isl", vec![1; 2]),
            Cells::Counts("step", vec![4095; 2]),
            Cells::Reals("latency", vec![0.2, 0.1]),
        ]
    };
    let skips = "dsa_generation_module_skip_indexer";
    let glm = cells("zai-org/GLM-5.2", skips);
    scratch.table("sparse_attention", "vllm", "0.24.0", "dsa_generation_module", &glm);
    let tables = scratch.vllm();
    let glm = Modular {
        module: Module::Indexed,
        hidden: 6144.0,
        heads: 16.0,
        weights: Format::Fp8Block,
        cache: Cache::Fp8,
    };
    let measured = |seconds| Some(Timing { seconds, basis: Basis::Measured });
    assert_eq!(tables.module_decode(&glm, 8.0, 4096.0), measured(0.2e-3));
    let shared = Modular { module: Module::IndexShared, ..glm };
    assert_eq!(tables.module_decode(&shared, 8.0, 4096.0), measured(0.1e-3));
    let deepseek = tables.module_decode(&Modular { hidden: 7168.0, ..glm }, 8.0, 4096.0).unwrap();
    assert!(matches!(deepseek.basis, Basis::Extrapolated { reach } if reach > 1.1));
    assert_eq!(tables.module_decode(&Modular { hidden: 1024.0, ..glm }, 8.0, 4096.0), None);
    assert_eq!(tables.module_decode(&Modular { module: Module::Latent, ..glm }, 8.0, 4096.0), None);
    assert_eq!(tables.module_prefill(&glm, 8.0, 4096.0, 0.0), None);
}

#[test]
fn collectives_count_elements_and_stay_among_their_ranks() {
    let scratch = Scratch::new("collectives");
    let custom = [
        Cells::Words("allreduce_dtype", vec!["bfloat16"; 4]),
        Cells::Words("backend", vec!["vllm_graph", "vllm_eager", "vllm_graph", "vllm_graph"]),
        Cells::Counts("num_gpus", vec![8, 8, 8, 2]),
        Cells::Counts("message_size", vec![1024, 1024, 4096, 1024]),
        Cells::Reals("latency", vec![0.005, 0.02, 0.006, 0.004]),
    ];
    scratch.table("comm", "vllm", "0.24.0", "custom_allreduce", &custom);
    let library = [
        Cells::Words("nccl_dtype", vec!["half"; 2]),
        Cells::Words("op_name", vec!["alltoall", "all_reduce"]),
        Cells::Counts("num_gpus", vec![8, 16]),
        Cells::Counts("message_size", vec![1024, 1024]),
        Cells::Reals("latency", vec![0.03, 0.04]),
    ];
    scratch.table("comm", "nccl", "2.29.2", "nccl", &library);
    let tables = scratch.vllm();
    let time = |of, launch, ranks| tables.collective(of, launch, ranks, 2048.0).map(|t| t.seconds);
    assert_eq!(time(Collective::AllReduce, Launch::Graph, 8.0), Some(0.005e-3));
    assert_eq!(time(Collective::AllReduce, Launch::Eager, 8.0), Some(0.02e-3));
    assert_eq!(time(Collective::AllReduce, Launch::Graph, 16.0), Some(0.04e-3));
    assert_eq!(time(Collective::AllToAll, Launch::Graph, 8.0), Some(0.03e-3));
    assert_eq!(time(Collective::AllReduce, Launch::Graph, 32.0), None);
    assert_eq!(time(Collective::AllGather, Launch::Graph, 8.0), None);
}

#[test]
fn exchanges_of_both_directions() {
    let scratch = Scratch::new("exchanges");
    let cells = [
        Cells::Words("comm_backend", vec!["deepep_ll"; 2]),
        Cells::Words("phase", vec!["dispatch", "combine"]),
        Cells::Words("comm_dtype", vec!["default"; 2]),
        Cells::Counts("ep_size", vec![8; 2]),
        Cells::Counts("num_tokens", vec![64; 2]),
        Cells::Counts("hidden_size", vec![7168; 2]),
        Cells::Counts("topk", vec![8; 2]),
        Cells::Counts("num_experts", vec![256; 2]),
        Cells::Reals("latency", vec![40.0, 70.0]),
    ];
    scratch.table("comm", "vllm", "0.24.0", "moe_a2a", &cells);
    let tables = scratch.vllm();
    let sent = Exchange {
        way: Way::Latency,
        direction: Direction::Dispatch,
        format: Format::Fp8,
        ep: 8.0,
        hidden: 7168.0,
        active: 8.0,
        count: 256.0,
    };
    assert!(close(tables.exchange(&sent, 64.0).unwrap().seconds, 40e-6));
    let back = Exchange { direction: Direction::Combine, format: Format::Bf16, ..sent };
    assert!(close(tables.exchange(&back, 128.0).unwrap().seconds, 140e-6));
    assert_eq!(tables.exchange(&Exchange { ep: 16.0, ..sent }, 64.0), None);
    assert_eq!(tables.exchange(&Exchange { way: Way::Throughput, ..sent }, 64.0), None);
}

#[test]
fn tables_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Operators>();
    crosses::<DeviceTables>();
}
