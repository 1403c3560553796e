//! Writes GGUF headers for tests, valid ones and broken ones.

use crate::arithmetic::formats::numbered;

/// A header being written; every part can be set to what no writer would.
#[derive(Clone)]
pub(super) struct Build {
    pub(super) version: u32,
    pub(super) big_endian: bool,
    pub(super) tensor_count: Option<u64>,
    pub(super) key_count: Option<u64>,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) tensors: Vec<Vec<u8>>,
    pub(super) end: u64,
}

impl Build {
    pub(super) fn new() -> Self {
        Self {
            version: 3,
            big_endian: false,
            tensor_count: None,
            key_count: None,
            keys: Vec::new(),
            tensors: Vec::new(),
            end: 0,
        }
    }

    /// A small model of one layer with the keys and tensors it should have.
    pub(super) fn model(architecture: &str) -> Self {
        Self::model_with(architecture, None)
    }

    /// The same with one figure more, or another one.
    pub(super) fn model_with(architecture: &str, given: Option<(&str, u32)>) -> Self {
        let mut build = Self::new().text("general.architecture", architecture);
        let figures = [
            ("context_length", 4096_u32),
            ("embedding_length", 64),
            ("block_count", 1),
            ("feed_forward_length", 128),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("vocab_size", 10),
        ];
        let others = figures.into_iter().filter(|(key, _)| given.is_none_or(|(given, _)| given != *key));
        for (key, figure) in others.chain(given) {
            build = build.number(&format!("{architecture}.{key}"), figure);
        }
        for (name, shape) in [
            ("token_embd.weight", [64, 10]),
            ("output.weight", [64, 10]),
            ("output_norm.weight", [64, 1]),
            ("blk.0.attn_norm.weight", [64, 1]),
            ("blk.0.ffn_norm.weight", [64, 1]),
            ("blk.0.attn_q.weight", [64, 64]),
            ("blk.0.attn_k.weight", [64, 32]),
            ("blk.0.attn_v.weight", [64, 32]),
            ("blk.0.attn_output.weight", [64, 64]),
            ("blk.0.ffn_gate.weight", [64, 128]),
            ("blk.0.ffn_up.weight", [64, 128]),
            ("blk.0.ffn_down.weight", [128, 64]),
        ] {
            build = build.tensor(name, &shape, 1);
        }
        build
    }

    fn u32(&self, n: u32) -> Vec<u8> {
        if self.big_endian { n.to_be_bytes().to_vec() } else { n.to_le_bytes().to_vec() }
    }

    pub(super) fn u64(&self, n: u64) -> Vec<u8> {
        if self.big_endian { n.to_be_bytes().to_vec() } else { n.to_le_bytes().to_vec() }
    }

    fn string(&self, text: &str) -> Vec<u8> {
        [self.u64(text.len() as u64), text.as_bytes().to_vec()].concat()
    }

    /// A key with a value of any type and any bytes.
    pub(super) fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.push([self.string(key), self.u32(kind), value.to_vec()].concat());
        self
    }

    pub(super) fn number(self, key: &str, figure: u32) -> Self {
        let value = self.u32(figure);
        self.raw(key, 4, &value)
    }

    pub(super) fn text(self, key: &str, text: &str) -> Self {
        let value = self.string(text);
        self.raw(key, 8, &value)
    }

    /// A list that claims `length` items and holds these bytes.
    pub(super) fn list(self, key: &str, kind: u32, length: u64, items: &[u8]) -> Self {
        let value = [self.u32(kind), self.u64(length), items.to_vec()].concat();
        self.raw(key, 9, &value)
    }

    /// A tensor where it should lie.
    pub(super) fn tensor(self, name: &str, shape: &[u64], kind: u32) -> Self {
        let end = self.end;
        self.tensor_at(name, shape, kind, end)
    }

    /// A tensor anywhere.
    pub(super) fn tensor_at(mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        let mut record = [self.string(name), self.u32(shape.len() as u32)].concat();
        for length in shape {
            record.extend(self.u64(*length));
        }
        record.extend([self.u32(kind), self.u64(offset)].concat());
        self.tensors.push(record);
        let rows: u64 = shape.iter().skip(1).fold(1, |product, n| product.wrapping_mul(*n));
        let row = numbered(u64::from(kind)).zip(shape.first());
        let bytes = row.map_or(0, |(named, cols)| named.format.row(*cols) as u64).wrapping_mul(rows);
        self.end = self.end.wrapping_add(bytes).checked_next_multiple_of(32).unwrap_or(0);
        self
    }

    /// Bytes of the data of all tensors.
    pub(super) fn data_bytes(&self) -> u64 {
        self.end
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.u32(self.version));
        out.extend(self.u64(self.tensor_count.unwrap_or(self.tensors.len() as u64)));
        out.extend(self.u64(self.key_count.unwrap_or(self.keys.len() as u64)));
        out.extend(self.keys.concat());
        out.extend(self.tensors.concat());
        out
    }
}
