//! Published sizes of files whose types no rule gives, from `published_sizes.toml`.
//!
//! The planner uses them where it can: a published size is a fact. Validation never does, for it
//! judges the rules.

use crate::catalogue::decode::decode_text;
use crate::table;
use crate::units::Bytes;
use std::collections::BTreeMap;
use std::sync::LazyLock;

table! {
    /// All published sizes.
    pub struct PublishedSizes ("published sizes") {
        /// Files of one model by one publisher.
        pub file: Vec<PublishedFiles>,
    }
}

table! {
    /// Files of one model by one publisher.
    pub struct PublishedFiles ("published files") {
        /// Id of the model.
        pub model: String,
        /// Account that made them.
        pub publisher: String,
        /// Where they lie.
        pub source: String,
        /// Bytes by scheme.
        pub sizes: BTreeMap<String, u64>,
        /// Half width of the rounding by scheme, bytes.
        pub rounding: BTreeMap<String, u64>,
    }
}

/// One published size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedSize {
    /// Bytes of all parts together.
    pub bytes: Bytes,
    /// Half width of the rounding.
    pub rounding: Bytes,
    /// Where the file lies.
    pub source: &'static str,
}

static SIZES: LazyLock<PublishedSizes> = LazyLock::new(|| {
    decode_text("published_sizes.toml", include_str!("published_sizes.toml"), 1)
        .expect("the shipped file is tested")
});

/// The published size of a model in a scheme.
pub fn published_size(model: &str, scheme: &str) -> Option<PublishedSize> {
    SIZES.file.iter().filter(|file| file.model == model).find_map(|file| {
        Some(PublishedSize {
            bytes: Bytes::new(*file.sizes.get(scheme)? as f64),
            rounding: Bytes::new(*file.rounding.get(scheme)? as f64),
            source: &file.source,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_its_rounding_and_a_known_scheme() {
        for file in &SIZES.file {
            assert!(file.sizes.keys().eq(file.rounding.keys()), "{} {}", file.model, file.publisher);
            for name in file.sizes.keys() {
                assert!(crate::arithmetic::scheme::Scheme::parse(name).is_ok(), "{name}");
            }
        }
        let size = published_size("kimi-k3", "ud-q4_k_xl").unwrap();
        // 1406.2 GiB, as the maker of the file states.
        assert!((size.bytes.in_gib() - 1406.2).abs() < 0.1, "{}", size.bytes.in_gib());
    }
}
