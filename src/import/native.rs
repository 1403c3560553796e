//! Formats of the published files by the `quantization_config` they come with.

use super::fields::Fields;
use crate::arithmetic::formats::format;
use crate::catalogue::model::NativeFormats;

/// The formats, named as `formats.toml` names them.
pub(super) fn formats(fields: &Fields) -> NativeFormats {
    let plain = match fields.text("torch_dtype").or(fields.text("dtype")) {
        Some("float16") => "f16",
        Some("float32") => "f32",
        _ => "bf16",
    };
    // MLX writes its own key, and a copy without a method under the common one.
    let table = fields.table("quantization").or_else(|| fields.table("quantization_config"));
    let Some(table) = table else { return all(plain, plain) };
    let found = match table.text("quant_method") {
        None if table.has("bits") => mlx(&table),
        // The first files of modelopt name only their producer.
        None => (table.table("producer").and_then(|producer| producer.text("name")) == Some("modelopt"))
            .then(|| modelopt(&table))
            .flatten(),
        Some(method) => by_method(fields, &table, method, plain),
    };
    found.map_or_else(
        || {
            let method = table.text("quant_method").unwrap_or("unnamed");
            fields
                .assume(format!("the quantisation `{method}` is not understood: sizes are those of {plain}"));
            all(plain, plain)
        },
        |found| found.formats(plain),
    )
}

/// Which matrices are stored in a format of few bits.
enum Quantised {
    /// All projections; embedding, output matrix and towers stay as they were.
    Projections(String),
    /// The routed experts only.
    Experts(String),
    /// Projections in the first, routed experts in the second.
    Both(String, &'static str),
    /// Every matrix, embedding and output matrix too.
    Everything(String),
}

impl Quantised {
    fn formats(self, plain: &str) -> NativeFormats {
        match self {
            Self::Projections(name) => all(&name, plain),
            Self::Experts(name) => NativeFormats { experts: Some(name), ..all(plain, plain) },
            Self::Both(name, experts) => {
                NativeFormats { experts: Some(experts.to_owned()), ..all(&name, plain) }
            }
            Self::Everything(name) => NativeFormats { embedding: Some(name.clone()), ..all(&name, plain) },
        }
    }
}

fn all(name: &str, plain: &str) -> NativeFormats {
    let kept = (name != plain).then(|| plain.to_owned());
    NativeFormats {
        default: name.to_owned(),
        experts: None,
        attention: None,
        dense: None,
        embedding: kept.clone(),
        tower: kept,
        note: None,
    }
}

/// By the name of the tool that made the files; nothing for what is not known.
fn by_method(fields: &Fields, table: &Fields, method: &str, plain: &str) -> Option<Quantised> {
    let bits = table.count(&["bits", "w_bit", "nbits"]);
    let projections = |name: &str| Some(Quantised::Projections(name.to_owned()));
    match method {
        "fp8" if !table.has("weight_block_size") => projections("fp8-tensor"),
        "fp8" => {
            let name = if table.text("scale_fmt") == Some("ue8m0") { "fp8-e8m0" } else { "fp8" };
            if fields.text("expert_dtype") == Some("fp4") {
                return Some(Quantised::Both(name.to_owned(), "fp4"));
            }
            projections(name)
        }
        "fbgemm_fp8" => projections("fp8-channel"),
        "mxfp4" => Some(Quantised::Experts("mxfp4".to_owned())),
        "modelopt" | "modelopt_fp4" => modelopt(table),
        "compressed-tensors" => compressed(table),
        "awq" => grouped(table, "awq", bits.unwrap_or(4)),
        "gptq" | "auto-round" | "autoround" => grouped(table, "gptq", bits?),
        "bitsandbytes" => bitsandbytes(table),
        "hqq" => table_or(table, "hqq", "hqq-4bit-g64"),
        "exl3" => {
            // Whole bits are tabled; between them the next larger is taken.
            let name = format!("exl3-{}", table.real("bits")?.ceil());
            format(&name).map(|known| Quantised::Projections(known.name.to_owned()))
        }
        "none" => projections(plain),
        _ => None,
    }
}

/// A format with one size of group, and a note where the files have another.
fn table_or(table: &Fields, method: &str, name: &str) -> Option<Quantised> {
    let group = table.count(&["group_size", "q_group_size"]);
    let stated = name.rsplit_once("-g").and_then(|(_, size)| size.parse::<u64>().ok());
    if let (Some(group), Some(stated)) = (group, stated)
        && group != stated
    {
        table.assume(format!("`{method}` in groups of {group} is counted as in groups of {stated}"));
    }
    format(name).map(|known| Quantised::Projections(known.name.to_owned()))
}

/// AWQ and GPTQ: integers with a scale and an offset per group.
fn grouped(table: &Fields, method: &str, bits: u64) -> Option<Quantised> {
    table_or(table, method, &format!("{method}-int{bits}-g128"))
}

/// LLM.int8, or NF4 with its scales quantised again or not.
fn bitsandbytes(table: &Fields) -> Option<Quantised> {
    let name = match (table.flag("load_in_8bit"), table.flag("load_in_4bit")) {
        (Some(true), _) => "llm-int8",
        (_, Some(true)) if table.flag("bnb_4bit_use_double_quant") == Some(true) => "nf4",
        (_, Some(true)) => "nf4-single",
        _ => return None,
    };
    Some(Quantised::Projections(name.to_owned()))
}

/// `mlx-lm` quantises every matrix: `{"bits": 4, "group_size": 64}`, with a `mode` since 2025.
fn mlx(table: &Fields) -> Option<Quantised> {
    let name = match table.text("mode") {
        None | Some("affine") => {
            let group = table.count(&["group_size"]).unwrap_or(64);
            format!("mlx-{}bit-g{group}", table.count(&["bits"])?)
        }
        Some(mode) => mode.to_owned(),
    };
    format(&name).map(|known| Quantised::Everything(known.name.to_owned()))
}

/// The weights of the first group of `config_groups`, whatever it is called.
fn group_weights<'a>(table: &Fields<'a>) -> Option<Fields<'a>> {
    table.table("config_groups")?.first_table()?.table("weights")
}

/// By its groups, or by the name of the algorithm.
fn modelopt(table: &Fields) -> Option<Quantised> {
    let inner = table.table("quantization");
    let algorithm = table.text("quant_algo").or_else(|| inner.as_ref()?.text("quant_algo"));
    let bits = group_weights(table).and_then(|weights| weights.count(&["num_bits"]));
    let name = match (algorithm, bits) {
        (Some("FP8_PER_CHANNEL_PER_TOKEN"), _) => "fp8-channel",
        (Some("MXFP8"), _) => "mxfp8",
        // `MIXED_PRECISION` lists a format per layer; its first group stands for them.
        (Some("NVFP4" | "W4A16_NVFP4" | "NVFP4_AWQ"), _) | (_, Some(4)) => "nvfp4",
        (Some("FP8"), _) | (_, Some(8)) => "fp8-tensor",
        _ => return None,
    };
    Some(Quantised::Projections(name.to_owned()))
}

/// By type, bits and strategy of the weights.
fn compressed(table: &Fields) -> Option<Quantised> {
    let weights = group_weights(table)?;
    let float = weights.text("type") == Some("float");
    let group = weights.count(&["group_size"]);
    let name = match (weights.count(&["num_bits"])?, float, group, weights.text("strategy")) {
        (4, true, Some(16), _) => "nvfp4",
        // The models that ship in groups of 32 keep all but the experts in 16 bit.
        (4, true, Some(32), _) => return Some(Quantised::Experts("mxfp4".to_owned())),
        (4, false, Some(32), _) => return Some(Quantised::Experts("int4-g32".to_owned())),
        (4, false, ..) => return table_or(&weights, "compressed-tensors", "int4-g128"),
        (8, true, Some(32), _) => "mxfp8",
        (8, true, _, Some("block")) => "fp8",
        (8, true, _, Some("channel")) => "fp8-channel",
        (8, true, ..) => "fp8-tensor",
        (8, false, ..) => "int8",
        _ => return None,
    };
    Some(Quantised::Projections(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(config: &Value) -> (NativeFormats, Vec<String>) {
        let root = config.as_object().unwrap();
        let fields = Fields::new(root);
        (formats(&fields), fields.assumed())
    }

    /// As the tools write them: `transformers` 5.23, compressed-tensors, modelopt, mlx-lm, exllamav3.
    #[test]
    fn methods_are_recognised() {
        let group = |bits: u64, kind: &str, size: Value, strategy: &str| {
            json!({"quant_method": "compressed-tensors", "config_groups": {"attention_and_mlp": {"weights":
                {"num_bits": bits, "type": kind, "group_size": size, "strategy": strategy}}}})
        };
        for (table, name) in [
            (json!({"quant_method": "fp8", "weight_block_size": [128, 128]}), "fp8"),
            (json!({"quant_method": "fp8"}), "fp8-tensor"),
            (json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}), "nvfp4"),
            (json!({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}), "fp8-tensor"),
            (json!({"quant_method": "awq", "bits": 4, "group_size": 128}), "awq-int4-g128"),
            (json!({"quant_method": "gptq", "bits": 8, "group_size": 128}), "gptq-int8-g128"),
            (json!({"quant_method": "bitsandbytes", "load_in_8bit": true}), "llm-int8"),
            (json!({"quant_method": "bitsandbytes", "load_in_4bit": true}), "nf4-single"),
            (
                json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_use_double_quant": true}),
                "nf4",
            ),
            (json!({"quant_method": "exl3", "bits": 4.0}), "exl3-4"),
            (group(4, "float", json!(16), "tensor_group"), "nvfp4"),
            (group(4, "int", json!(128), "group"), "int4-g128"),
            (group(8, "float", Value::Null, "channel"), "fp8-channel"),
            (group(8, "int", Value::Null, "channel"), "int8"),
            (json!({"bits": 6, "group_size": 32}), "mlx-6bit-g32"),
        ] {
            let (formats, assumed) = read(&json!({"quantization_config": table}));
            assert_eq!((formats.default.as_str(), assumed.len()), (name, 0), "{table} {assumed:?}");
        }
        let (mlx, _) = read(&json!({"quantization": {"bits": 4, "group_size": 64, "mode": "mxfp4"}}));
        assert_eq!((mlx.default.as_str(), mlx.embedding.as_deref()), ("mxfp4", Some("mxfp4")));
        let (experts, _) = read(&json!({"quantization_config": {"quant_method": "mxfp4"}}));
        assert_eq!((experts.default.as_str(), experts.experts.as_deref()), ("bf16", Some("mxfp4")));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let (formats, assumed) =
            read(&json!({"torch_dtype": "float16", "quantization_config": {"quant_method": "vptq"}}));
        assert_eq!(formats.default, "f16");
        assert_eq!(assumed, ["the quantisation `vptq` is not understood: sizes are those of f16"]);
        let (_, assumed) =
            read(&json!({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 64}}));
        assert_eq!(assumed, ["`awq` in groups of 64 is counted as in groups of 128"]);
    }
}
