//! The header of a GGUF file to a model spec with exact weights.
//!
//! The metadata says in its own words what a `config.json` says; it is put into those words and
//! read the same way. The table of tensors becomes the weights of the model, to the byte, and
//! proves the shape: its parameters must sum to the computed total.
//!
//! An architecture that is not known is read by the keys all share; one that lacks even those keeps
//! its exact weights, and its cache is named as unknown.

#[cfg(test)]
mod build;
mod header;
#[cfg(test)]
mod malformed;
mod reader;
mod split;
mod words;

pub use header::{Header, TensorInfo};
pub use reader::Fault;
pub use split::{FileFault, Whole, read_parts};

use super::ImportError;
use super::config::from_config;
use crate::arithmetic::inventory::Inventory;
use crate::arithmetic::stored::{is_tower, params};
use crate::catalogue::model::{Grade, LayerSet, ModelSpec, NativeFormats, StoredTensor};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Read;
use words::{config, in_layer, is_known, layer};

/// Share by which the computed total may differ from the table: norms and biases of fine print.
const PROVEN_WITHIN: f64 = 0.001;

/// Reads the header of one GGUF file that is a whole model; its tensors are not read.
///
/// # Errors
/// When the header is broken or describes no model that can be planned.
pub fn from_gguf(file: &mut dyn Read, name: &str) -> Result<ModelSpec, ImportError> {
    let fail = |problem: String| ImportError { name: name.to_owned(), problems: vec![problem] };
    let header = Header::read(file, None).map_err(|fault| fail(fault.to_string()))?;
    from_header(&header, name)
}

/// The model a header describes.
///
/// # Errors
/// When it describes no model that can be planned.
pub fn from_header(header: &Header, name: &str) -> Result<ModelSpec, ImportError> {
    let fail = |problem: String| ImportError { name: name.to_owned(), problems: vec![problem] };
    if let Some(problem) = no_model(header) {
        return Err(fail(problem));
    }
    let stored = table(&header.tensors);
    let mut spec =
        from_config(&config(header).to_string(), name).or_else(|error| least(header, name, error))?;
    spec.native = formats(&header.tensors);
    spec.stored = stored;
    judge(&mut spec);
    Ok(spec)
}

/// What the table alone proves of an architecture that is not known and lacks the common keys: its
/// layers, widths and weights. Its cache is unknown; the smallest attention there is stands in.
fn least(header: &Header, name: &str, error: ImportError) -> Result<ModelSpec, ImportError> {
    let width = |name: &str, place: usize| {
        let found =
            header.tensors.iter().find(|tensor| in_layer(&tensor.name).unwrap_or(&tensor.name) == name);
        found.and_then(|tensor| tensor.shape.get(place)).copied()
    };
    let last = header.tensors.iter().filter_map(|tensor| layer(&tensor.name)).max();
    let (Some(hidden), Some(vocabulary), Some(last), false) =
        (width("token_embd.weight", 0), width("token_embd.weight", 1), last, is_known(header.architecture()))
    else {
        return Err(error);
    };
    let context = header.number(&format!("{}.context_length", header.architecture()));
    let config = json!({
        "model_type": header.architecture(), "hidden_size": hidden, "vocab_size": vocabulary,
        "num_hidden_layers": last.saturating_add(1), "num_attention_heads": 1, "head_dim": 1,
        "num_key_value_heads": 1, "intermediate_size": width("ffn_up.weight", 1).unwrap_or(hidden),
        "max_position_embeddings": context.unwrap_or(4096),
        "tie_word_embeddings": width("output.weight", 0).is_none(),
    });
    let mut spec = from_config(&config.to_string(), name)?;
    spec.config.cache_unknown = true;
    let gaps = format!("its cache is not known, for its metadata {}", error.problems.join(" and "));
    let before = spec.config.caveat.take();
    spec.config.caveat = Some(before.into_iter().chain([gaps]).collect::<Vec<_>>().join("; "));
    Ok(spec)
}

/// Why a file is no model by itself.
fn no_model(header: &Header) -> Option<String> {
    let bytes: u64 = header.tensors.iter().map(|tensor| tensor.bytes).sum();
    let kind = header.text("general.type").unwrap_or("model");
    let named = |what: &str| Some(format!("this file is {what}, not a model"));
    match (header.architecture(), kind) {
        (_, "adapter") => named("a LoRA adapter"),
        (_, "imatrix") => named("an importance matrix"),
        ("clip", _) | (_, "mmproj") => Some(format!(
            "this file is the vision or audio tower (mmproj) of a model: {bytes} bytes beside it; give the file of the text model"
        )),
        ("", _) if header.tensors.is_empty() => named("metadata without tensors"),
        _ if header.tensors.is_empty() => named("a vocabulary without tensors"),
        ("", _) => Some("key `general.architecture` is missing".to_owned()),
        _ => None,
    }
}

/// The table with equal tensors of different layers together, in the order of the file.
fn table(tensors: &[TensorInfo]) -> Vec<StoredTensor> {
    type Key<'a> = (&'a str, &'a [u64], &'static str);
    let mut places: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    let mut list: Vec<(Key<'_>, Vec<u32>)> = Vec::new();
    for tensor in tensors {
        // No model has layers beyond 32 bits; such a name stays whole, outside the layers.
        let at = layer(&tensor.name).and_then(|layer| u32::try_from(layer).ok());
        let name = at.and_then(|_| in_layer(&tensor.name)).unwrap_or(&tensor.name);
        let key = (name, tensor.shape.as_slice(), tensor.stored.name);
        let place = *places.entry(key).or_insert_with(|| {
            list.push((key, Vec::new()));
            list.len() - 1
        });
        list[place].1.extend(at);
    }
    list.into_iter()
        .map(|((name, shape, format), layers)| StoredTensor {
            name: name.to_owned(),
            at: (!layers.is_empty()).then(|| LayerSet::new(layers)),
            shape: shape.to_vec(),
            format: format.to_owned(),
        })
        .collect()
}

/// Formats by the type that holds most parameters of each part.
fn formats(tensors: &[TensorInfo]) -> NativeFormats {
    let most = |holds: &dyn Fn(&str) -> bool| {
        let mut sizes: BTreeMap<&'static str, u64> = BTreeMap::new();
        for tensor in tensors.iter().filter(|tensor| holds(&tensor.name)) {
            let size = sizes.entry(tensor.stored.name).or_default();
            *size = size.saturating_add(tensor.params());
        }
        sizes.into_iter().max_by_key(|(_, params)| *params).map(|(name, _)| name.to_owned())
    };
    NativeFormats {
        default: most(&|_| true).unwrap_or_else(|| "f16".to_owned()),
        experts: most(&|name| name.contains("_exps.")),
        attention: most(&|name| name.contains(".attn_")),
        dense: most(&|name| name.contains(".ffn_") && !name.contains("_exps.")),
        embedding: most(&|name| name.starts_with("token_embd")),
        tower: most(&is_tower),
        note: Some("for each part the type of most of its tensors; `stored` lists every tensor".to_owned()),
    }
}

/// Compares the computed total with the table, and says how far the shape can be trusted.
fn judge(spec: &mut ModelSpec) {
    let in_file = params(&spec.stored);
    let inventory = Inventory::of(spec);
    let off = in_file.abs_diff(inventory.total()).min(in_file.abs_diff(inventory.hub_total()));
    spec.config.note = Some("read from the header of a GGUF file: its weights are exact".to_owned());
    if off as f64 <= PROVEN_WITHIN * in_file as f64 {
        spec.config.grade = if spec.config.caveat.is_none() { Grade::Proven } else { Grade::Partial };
        return;
    }
    let doubt = format!(
        "the file holds {in_file} parameters and its keys give {}: weights are those of the file",
        inventory.total()
    );
    spec.config.grade = Grade::Partial;
    let before = spec.config.caveat.take();
    spec.config.caveat = Some(before.into_iter().chain([doubt]).collect::<Vec<_>>().join("; "));
}

#[cfg(test)]
mod tests {
    use super::build::Build;
    use super::*;
    use crate::arithmetic::scheme::Scheme;
    use crate::arithmetic::tensor::Role;
    use crate::catalogue::check::read_model;
    use crate::catalogue::model::Block;
    use crate::catalogue::write::write_spec;
    use std::path::{Path, PathBuf};

    fn read(build: &Build) -> Result<ModelSpec, ImportError> {
        from_gguf(&mut build.bytes().as_slice(), "small")
    }

    fn recorded(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf/recorded").join(name)
    }

    fn weights(spec: &ModelSpec) -> crate::arithmetic::weights::Weights {
        Scheme::native().weigh(spec, &Inventory::of(spec))
    }

    #[test]
    fn tensors_prove_the_shape_and_are_the_weights() {
        let spec = read(&Build::model("llama")).unwrap();
        assert_eq!((spec.config.grade, spec.config.caveat.as_deref()), (Grade::Proven, None));
        assert_eq!((spec.vocabulary.get(), spec.layer_count()), (10, 1));
        assert_eq!((spec.native.default.as_str(), spec.tied_embeddings), ("f16", false));
        // 2·640 + 3·64 + 2·64·64 + 2·64·32 + 3·64·128 weights of two bytes.
        let params = 1280.0 + 192.0 + 8192.0 + 4096.0 + 24_576.0;
        assert_eq!(weights(&spec).total(), crate::units::Bytes::new(2.0 * params));
        // A matrix more than the keys say.
        let more = read(&Build::model("llama").tensor("blk.0.surprise.weight", &[64, 64], 8)).unwrap();
        assert_eq!(more.config.grade, Grade::Partial);
        assert!(more.config.caveat.as_ref().unwrap().contains("parameters"), "{more:?}");
        assert_eq!(weights(&more).total(), crate::units::Bytes::new(2.0 * params + 64.0 * 68.0));
    }

    #[test]
    fn either_byte_order_and_both_versions() {
        let read = |bytes: &[u8]| from_gguf(&mut &*bytes, "llama").unwrap();
        let little = std::fs::read(recorded("llama.gguf")).unwrap();
        let big = std::fs::read(recorded("llama-big-endian.gguf")).unwrap();
        assert_eq!(read(&little), read(&big));
        let mut second = little.clone();
        second[4] = 2;
        assert_eq!(read(&little), read(&second));
        assert!(Header::read(&mut big.as_slice(), None).unwrap().big_endian);
    }

    #[test]
    fn cut_files_are_refused() {
        let whole = Build::model("llama").bytes();
        for length in 0..whole.len() {
            assert!(from_gguf(&mut &whole[..length], "cut").is_err(), "{length}");
        }
    }

    #[test]
    fn prediction_layers_are_apart() {
        let spec =
            from_gguf(&mut std::fs::read(recorded("glm4moe.gguf")).unwrap().as_slice(), "glm").unwrap();
        assert_eq!((spec.layer_count(), spec.mtp.as_ref().unwrap().layers.get()), (3, 1));
        let weights = weights(&spec);
        let predicts = |one: &&crate::arithmetic::weights::Entry| {
            matches!(one.place, crate::arithmetic::inventory::Place::Prediction(_))
        };
        let roles: Vec<Role> = weights.entries.iter().filter(predicts).map(|one| one.tensor.role).collect();
        for role in [Role::PredictionJoin, Role::Embedding, Role::Output, Role::ExpertDown] {
            assert!(roles.contains(&role), "{role:?}");
        }
    }

    #[test]
    fn layers_keep_their_own_types() {
        let spec = from_gguf(&mut std::fs::read(recorded("llama.gguf")).unwrap().as_slice(), "mix").unwrap();
        let down = |layer: u32| {
            let holds = |one: &&StoredTensor| {
                one.name == "ffn_down.weight"
                    && one.at.as_ref().is_some_and(|at| at.iter().any(|l| l == layer))
            };
            spec.stored.iter().find(holds).map(|one| one.format.clone())
        };
        let found: Vec<String> = (0..4).filter_map(down).collect();
        assert_eq!(found, ["q8_0", "q6_k", "q5_k", "q4_k"]);
    }

    #[test]
    fn specs_of_files_read_back() {
        for name in ["deepseek2", "gemma3", "gpt-oss", "qwen35"] {
            let bytes = std::fs::read(recorded(&format!("{name}.gguf"))).unwrap();
            let spec = from_gguf(&mut bytes.as_slice(), name).unwrap();
            assert_eq!((spec.config.grade, &spec.config.caveat), (Grade::Proven, &None), "{name}");
            let again = read_model("x.toml", &write_spec(&spec).unwrap()).unwrap();
            assert_eq!(again, spec, "{name}");
        }
    }

    #[test]
    fn unknown_architectures_give_what_the_table_proves() {
        let spec = read(&Build::model("brand-new")).unwrap();
        let Some(Block::Grouped(attention)) = spec.block.get("attention") else { panic!("{spec:?}") };
        // Widths of heads are those of the matrices: 32 rows of 2 heads.
        assert_eq!((attention.kv_heads.get(), attention.head_dim.get()), (2, 16));
        assert!(spec.config.caveat.as_ref().unwrap().contains("`brand-new` is not known"));
        assert!(!spec.config.cache_unknown);
        // Without the common keys only the weights are known, and they are exact.
        let bare = Build::new()
            .text("general.architecture", "rwkv99")
            .tensor("token_embd.weight", &[64, 10], 1)
            .tensor("blk.0.time_mix_key.weight", &[64, 64], 8)
            .tensor("blk.1.time_mix_key.weight", &[64, 64], 8);
        let spec = read(&bare).unwrap();
        assert!(spec.config.cache_unknown && spec.layer_count() == 2);
        let caveat = spec.config.caveat.clone().unwrap();
        assert!(caveat.contains("cache is not known") && caveat.contains("num_attention_heads"), "{caveat}");
        assert_eq!(weights(&spec).total(), crate::units::Bytes::new(1280.0 + 2.0 * 64.0 * 68.0));
        // A known one that lacks them is broken.
        let broken =
            Build::new().text("general.architecture", "llama").tensor("token_embd.weight", &[64, 10], 1);
        assert!(read(&broken).unwrap_err().to_string().contains("lacks"));
    }

    #[test]
    fn parts_of_a_split_model_belong_together() {
        let folder = std::env::temp_dir().join(format!("plimsoll-split-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, build: &Build| {
            let path = folder.join(name);
            let data = vec![0; build.data_bytes() as usize + 64];
            std::fs::write(&path, [build.bytes(), data].concat()).unwrap();
            path
        };
        let split = |build: Build, no: u32| build.number("split.no", no).number("split.count", 2);
        let first = split(Build::model("llama"), 0).number("split.tensors.count", 13);
        let second = split(Build::new(), 1).tensor("blk.0.more.weight", &[64, 64], 1);
        let path = write("m-00001-of-00002.gguf", &first);
        let missing = read_parts(&path).unwrap_err();
        let other = write("m-00002-of-00002.gguf", &second);
        let whole = read_parts(&other).unwrap();
        let renamed = write("m.gguf", &first);
        let alone = read_parts(&renamed).unwrap_err();
        write("m-00002-of-00002.gguf", &first);
        let twice = read_parts(&path).unwrap_err();
        std::fs::write(&renamed, Build::model("llama").bytes()).unwrap();
        let cut = read_parts(&renamed).unwrap().cut;
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(missing, FileFault::Io(file, _) if file.ends_with("m-00002-of-00002.gguf")));
        assert_eq!((whole.header.tensors.len(), whole.cut), (13, None));
        assert!(matches!(alone, FileFault::Parts(_, problem) if problem.contains("split in 2 parts")));
        assert!(matches!(twice, FileFault::Parts(_, problem) if problem.contains("another part")));
        assert!(cut.unwrap().contains("its tensors are not all there"));
    }
}
