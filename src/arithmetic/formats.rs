//! The storage formats of weights, from `formats.toml`.

use crate::arithmetic::weights::{Format, Named};
use crate::catalogue::decode::decode_text;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

static FORMATS: LazyLock<BTreeMap<String, Format>> = LazyLock::new(|| {
    decode_text("formats.toml", include_str!("formats.toml"), 1).expect("the shipped file is tested")
});

/// The same by name for the rules, which ask for thousands of tensors.
static BY_NAME: LazyLock<HashMap<&'static str, Named>> =
    LazyLock::new(|| all().map(|named| (named.name, named)).collect());

/// The format of a name, as `formats.toml` writes it.
pub fn format(name: &str) -> Option<Named> {
    BY_NAME.get(name).copied()
}

/// The format GGUF files give a number.
pub fn numbered(number: u64) -> Option<Named> {
    all().find(|named| named.format.gguf == Some(number))
}

/// All formats in the order of their names.
pub fn all() -> impl Iterator<Item = Named> {
    FORMATS.iter().map(|(name, format)| Named { name, format })
}

/// A format the rules of this crate name.
///
/// # Panics
/// When `formats.toml` lacks it, which a test of the rules excludes.
pub(crate) fn named(name: &str) -> Named {
    format(name).unwrap_or_else(|| panic!("formats.toml lacks `{name}`, which a rule names"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits per weight as the sources state them: gguf `GGML_QUANT_SIZES`, model cards, papers.
    #[test]
    #[allow(clippy::float_cmp, reason = "the stated bits are exact binary fractions")]
    fn bits_per_weight_as_stated() {
        let stated = [
            ("q4_0", 4.5),
            ("q8_0", 8.5),
            ("q2_k", 2.625),
            ("q3_k", 3.4375),
            ("q4_k", 4.5),
            ("q5_k", 5.5),
            ("q6_k", 6.5625),
            ("iq1_s", 1.5625),
            ("iq1_m", 1.75),
            ("iq2_xxs", 2.0625),
            ("iq2_xs", 2.3125),
            ("iq2_s", 2.5625),
            ("iq3_xxs", 3.0625),
            ("iq3_s", 3.4375),
            ("iq4_xs", 4.25),
            ("iq2_kl", 2.6875),
            ("iq5_ks", 5.25),
            ("fp8", 8.001_953_125),
            ("mxfp4", 4.25),
            ("nvfp4", 4.5),
            ("awq-int4-g128", 4.156_25),
            ("int4-g32", 4.5),
            ("nf4", 4.126_953_125),
            ("mlx-4bit-g64", 4.5),
            ("mlx-8bit-g32", 9.0),
            ("exl3-4", 4.0),
        ];
        for (name, bits) in stated {
            assert_eq!(named(name).format.bits(), bits, "{name}");
        }
    }

    #[test]
    fn interleaved_rows_take_no_more_room() {
        for repacked in all().filter(|one| one.name.ends_with("_r4") || one.name.ends_with("_r8")) {
            let base = repacked.name.trim_end_matches("_r4").trim_end_matches("_r8");
            // IQ1_S_R4 and IQ1_M_R4 have blocks of 32 and a scale per row instead.
            if let Some(base) = format(base).filter(|base| !base.name.starts_with("iq1")) {
                assert!(repacked.format.bits() <= base.format.bits(), "{}", repacked.name);
            }
        }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "whole bytes are exact")]
    fn rows_are_whole_blocks() {
        // 2880 weights: 90 blocks of 32, 12 of 256; a row scale is added once.
        assert_eq!(named("q8_0").format.row(2880), 90.0 * 34.0);
        assert_eq!(named("q4_k").format.row(2880), 12.0 * 144.0);
        assert_eq!(named("iq4_ks").format.row(512), 2.0 * 136.0 + 4.0);
    }
}
