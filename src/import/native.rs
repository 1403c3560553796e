//! Formats of the published files by the `quantization_config` they come with.

use super::fields::Fields;
use crate::catalogue::model::NativeFormats;

/// The formats, named as `formats.toml` names them.
pub(super) fn formats(fields: &Fields) -> NativeFormats {
    let plain = match fields.text("torch_dtype").or(fields.text("dtype")) {
        Some("float16") => "f16",
        Some("float32") => "f32",
        _ => "bf16",
    };
    let all = |name: &str| NativeFormats {
        default: name.to_owned(),
        experts: None,
        attention: None,
        dense: None,
        embedding: (name != plain).then(|| plain.to_owned()),
        tower: (name != plain).then(|| plain.to_owned()),
        note: None,
    };
    let experts = |name: &str| NativeFormats { experts: Some(name.to_owned()), ..all(plain) };
    let Some(table) = fields.table("quantization_config") else {
        return all(plain);
    };
    let method = table.text("quant_method").unwrap_or("unnamed");
    let weights = table.table("config_groups").and_then(|groups| groups.table("group_0")?.table("weights"));
    let bits = weights.as_ref().and_then(|weights| weights.count(&["num_bits"]));
    let group = weights.as_ref().and_then(|weights| weights.count(&["group_size"]));
    let float = weights.as_ref().and_then(|weights| weights.text("type")) == Some("float");
    match (method, bits, group) {
        ("fp8", ..) => {
            let scale = table.text("scale_fmt") == Some("ue8m0");
            let fp8 = all(if scale { "fp8-e8m0" } else { "fp8" });
            let fp4 = fields.text("expert_dtype") == Some("fp4");
            NativeFormats { experts: fp4.then(|| "fp4".to_owned()), ..fp8 }
        }
        ("mxfp4", ..) => experts("mxfp4"),
        ("compressed-tensors", Some(4), Some(32)) if float => experts("mxfp4"),
        ("compressed-tensors", Some(4), Some(32)) => experts("int4-g32"),
        ("compressed-tensors", Some(4), Some(128)) => all("int4-g128"),
        ("modelopt", Some(4), Some(16)) => all("nvfp4"),
        ("modelopt", Some(8), _) => all("fp8-tensor"),
        ("awq", ..) => all("awq-int4-g128"),
        ("gptq", ..) => all("gptq-int4-g128"),
        _ => {
            fields
                .assume(format!("the quantisation `{method}` is not understood: sizes are those of {plain}"));
            all(plain)
        }
    }
}
