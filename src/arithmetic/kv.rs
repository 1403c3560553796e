//! Bytes of the cache: the element formats engines offer, and what one entry costs in each.

use crate::arithmetic::cache::{Component, Content, Growth};
use crate::units::Bytes;
use crate::words;

words! {
    /// Format of cached keys, values and latents.
    pub enum KvFormat ("cache format") {
        /// 32-bit float.
        F32 = "f32",
        /// 16-bit float, of either kind.
        F16 = "f16",
        /// 8-bit float; latents and V4 entries use their mixed layouts.
        Fp8 = "fp8",
        /// 4-bit float in blocks of 16 with an 8-bit scale.
        Nvfp4 = "nvfp4",
        /// llama.cpp, 8 bits in blocks of 32.
        Q8_0 = "q8_0",
        /// llama.cpp, 5 bits with offset.
        Q5_1 = "q5_1",
        /// llama.cpp, 5 bits.
        Q5_0 = "q5_0",
        /// llama.cpp, 4 bits with offset.
        Q4_1 = "q4_1",
        /// llama.cpp, 4 bits.
        Q4_0 = "q4_0",
        /// llama.cpp, 4 bits, non-linear.
        Iq4Nl = "iq4_nl",
    }
}

impl KvFormat {
    /// Elements and bytes of a block of plain values.
    ///
    /// The llama.cpp blocks are those of its weight formats (`GGML_QUANT_SIZES` of gguf 0.19.0).
    const fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 => (1, 2),
            Self::Fp8 => (1, 1),
            // 16 values of 4 bits and an 8-bit scale.
            Self::Nvfp4 => (16, 9),
            Self::Q8_0 => (32, 34),
            Self::Q5_1 => (32, 24),
            Self::Q5_0 => (32, 22),
            Self::Q4_1 => (32, 20),
            Self::Q4_0 | Self::Iq4Nl => (32, 18),
        }
    }

    /// Bytes of so many plain values.
    const fn plain(self, elements: u64) -> u64 {
        let (block, bytes) = self.block();
        elements.div_ceil(block) * bytes
    }
}

/// Bytes of one entry of a component in one layer.
///
/// States and pending entries stay in 32 bit and convolution inputs in 16 bit whatever the format.
/// In `fp8`, three layouts mix widths:
/// * a latent: 8-bit values, a 32-bit scale per 128 of them, rotary elements in 16 bit; 656 B for
///   512 + 64 elements (`FlashMLA`, vLLM and `SGLang`);
/// * an entry of V4: 8-bit values, an 8-bit scale per 64 of them padded to 8, rotary elements in
///   16 bit; 584 B for 448 + 64 elements (`SGLang`'s V4 memory pool);
/// * an index key: 8-bit values with a 32-bit scale per 128, 132 B for 128 elements; over compressed
///   entries 4-bit values with an 8-bit scale per 32, 68 B.
pub fn bytes_per_entry(component: &Component, format: KvFormat) -> Bytes {
    let elements = component.elements;
    let fp8 = format == KvFormat::Fp8;
    let bytes = match component.content {
        Content::State | Content::Pending => elements * 4,
        Content::Conv => elements * 2,
        Content::Latent { rope } if fp8 => {
            let values = elements - rope;
            values + values.div_ceil(128) * 4 + rope * 2
        }
        Content::Shared { rope } if fp8 => {
            let values = elements - rope;
            values + values.div_ceil(64).next_multiple_of(8) + rope * 2
        }
        Content::IndexKey if fp8 && matches!(component.growth, Growth::Ratio(_)) => {
            elements.div_ceil(2) + elements.div_ceil(32)
        }
        Content::IndexKey if fp8 => elements + elements.div_ceil(128) * 4,
        Content::KeyValue | Content::Latent { .. } | Content::Shared { .. } | Content::IndexKey => {
            format.plain(elements)
        }
    };
    Bytes::new(bytes as f64)
}

/// Bytes a sequence of `tokens` holds in all layers, on one copy of the model.
pub fn held(components: &[Component], format: KvFormat, tokens: u64) -> Bytes {
    over_entries(components, format, |component| component.entries(tokens))
}

/// Bytes one query after `tokens` reads in all layers.
pub fn read(components: &[Component], format: KvFormat, tokens: u64) -> Bytes {
    over_entries(components, format, |component| component.entries_read(tokens))
}

/// Sums bytes over layers and entries.
fn over_entries(components: &[Component], format: KvFormat, entries: impl Fn(&Component) -> u64) -> Bytes {
    components
        .iter()
        .map(|component| {
            bytes_per_entry(component, format) * (component.layers.len() as u64 * entries(component)) as f64
        })
        .sum()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "whole bytes are exact")]
mod tests {
    use super::*;
    use crate::arithmetic::cache::Read;
    use crate::catalogue::model::LayerSet;

    fn component(elements: u64, growth: Growth, content: Content) -> Component {
        let layers = LayerSet::new(vec![0]);
        Component { name: "test", layers, elements, growth, content, read: Read::All, heads: 1 }
    }

    #[test]
    fn mixed_layouts_by_hand() {
        let bytes = |elements, growth, content| {
            bytes_per_entry(&component(elements, growth, content), KvFormat::Fp8).get()
        };
        // 512 + 4 scales of 4 B + 64 in 16 bit.
        assert_eq!(bytes(576, Growth::PerToken, Content::Latent { rope: 64 }), 656.0);
        // 448 + 7 scales padded to 8 + 64 in 16 bit.
        assert_eq!(bytes(512, Growth::Ratio(4), Content::Shared { rope: 64 }), 584.0);
        assert_eq!(bytes(128, Growth::PerToken, Content::IndexKey), 132.0);
        assert_eq!(bytes(128, Growth::Ratio(4), Content::IndexKey), 68.0);
        assert_eq!(bytes(2048, Growth::PerToken, Content::KeyValue), 2048.0);
        assert_eq!(bytes(10, Growth::Fixed, Content::State), 40.0);
        assert_eq!(bytes(10, Growth::Fixed, Content::Conv), 20.0);
    }

    #[test]
    fn blocks_by_hand() {
        let heads = component(2048, Growth::PerToken, Content::KeyValue);
        let bytes = |format| bytes_per_entry(&heads, format).get();
        assert_eq!(bytes(KvFormat::F16), 4096.0);
        // 64 blocks of 34 B, 18 B; 128 blocks of 9 B.
        assert_eq!(bytes(KvFormat::Q8_0), 2176.0);
        assert_eq!(bytes(KvFormat::Q4_0), 1152.0);
        assert_eq!(bytes(KvFormat::Nvfp4), 1152.0);
    }
}
