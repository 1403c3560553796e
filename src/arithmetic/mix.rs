//! The mixes of llama.cpp: which type the quantiser gives to which tensor.
//!
//! Rules of `src/llama-quant.cpp` as of llama-cpp-sys-2 0.1.161 (2026). A mix has a default type
//! and exceptions for the tensors that hurt most: output, values, down projections, the first and
//! last layers. First match wins; a row the block does not divide falls back to a larger type.

use crate::arithmetic::formats::named;
use crate::arithmetic::weights::Named;
use crate::words;

words! {
    /// A mix of llama.cpp.
    pub enum Mix ("llama.cpp mix") {
        /// 32-bit float.
        F32 = "f32",
        /// 16-bit float.
        F16 = "f16",
        /// 16-bit brain float.
        Bf16 = "bf16",
        /// 8 bits in blocks of 32.
        Q8_0 = "q8_0",
        /// 6-bit k-quant.
        Q6K = "q6_k",
        /// 5 bits with offset.
        Q5_1 = "q5_1",
        /// 5 bits.
        Q5_0 = "q5_0",
        /// 5-bit k-quant, medium.
        Q5KM = "q5_k_m",
        /// 5-bit k-quant, small.
        Q5KS = "q5_k_s",
        /// 4 bits with offset.
        Q4_1 = "q4_1",
        /// 4-bit k-quant, medium.
        Q4KM = "q4_k_m",
        /// 4-bit k-quant, small.
        Q4KS = "q4_k_s",
        /// 4 bits.
        Q4_0 = "q4_0",
        /// 4-bit, non-linear, in blocks of 32.
        Iq4Nl = "iq4_nl",
        /// Experts in mxfp4, the rest 8 bits.
        Mxfp4Moe = "mxfp4_moe",
        /// 4-bit, non-linear, in blocks of 256.
        Iq4Xs = "iq4_xs",
        /// 3-bit k-quant, large.
        Q3KL = "q3_k_l",
        /// 3-bit k-quant, medium.
        Q3KM = "q3_k_m",
        /// 3-bit i-quant, medium.
        Iq3M = "iq3_m",
        /// 3-bit i-quant, small.
        Iq3S = "iq3_s",
        /// 3-bit k-quant, small.
        Q3KS = "q3_k_s",
        /// 3-bit i-quant, extra small.
        Iq3Xs = "iq3_xs",
        /// 3-bit i-quant, smallest.
        Iq3Xxs = "iq3_xxs",
        /// 2-bit k-quant.
        Q2K = "q2_k",
        /// 2-bit k-quant, small.
        Q2KS = "q2_k_s",
        /// 2-bit i-quant, medium.
        Iq2M = "iq2_m",
        /// 2-bit i-quant, small.
        Iq2S = "iq2_s",
        /// 2-bit i-quant, extra small.
        Iq2Xs = "iq2_xs",
        /// 2-bit i-quant, smallest.
        Iq2Xxs = "iq2_xxs",
        /// Ternary, 2 bits.
        Tq2_0 = "tq2_0",
        /// Ternary, packed.
        Tq1_0 = "tq1_0",
        /// 1-bit i-quant, medium.
        Iq1M = "iq1_m",
        /// 1-bit i-quant, small.
        Iq1S = "iq1_s",
    }
}

/// What a tensor is to the quantiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Token embedding beside an output matrix.
    Embedding,
    /// Output matrix, or the embedding where it serves as one.
    Output,
    /// Values: `attn_v`, or queries, keys and values of linear attention (`attn_qkv`).
    Values,
    /// Queries, keys and values in one matrix, by the rule before 2026.
    Fused,
    /// `attn_k`.
    Keys,
    /// `attn_q`.
    Queries,
    /// `attn_output`.
    AttentionOut,
    /// `ffn_down`, of experts too.
    Down,
    /// `ffn_gate` and `ffn_up`, of experts too.
    GateUp,
    /// Any other matrix.
    Rest,
}

/// What the rules ask about the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Layers in the file, with prediction layers if it holds them.
    pub layers: u64,
    /// Routed experts per layer.
    pub experts: u64,
    /// Query heads per key-value head, of the first layer.
    pub group: u64,
    /// Tensors that hold values.
    pub values: u64,
    /// The 70B class of Llama and Qwen2, 80 layers that share values among eight heads.
    pub seventy: bool,
    /// Quantised with an importance matrix.
    pub imatrix: bool,
}

/// Where a tensor stands: its layer, and how many values and down projections came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Layer it is in.
    pub layer: u64,
    /// Tensors of values before it.
    pub values: u64,
    /// Down projections before it, each stack of experts counted once.
    pub downs: u64,
}

impl Standing {
    /// What comes next stands behind a tensor of this part.
    pub fn pass(&mut self, part: Part) {
        match part {
            Part::Values => self.values += 1,
            Part::Down => self.downs += 1,
            Part::Embedding
            | Part::Output
            | Part::Keys
            | Part::Queries
            | Part::AttentionOut
            | Part::Fused
            | Part::GateUp
            | Part::Rest => {}
        }
    }
}

/// The first and last eighth of the layers and every third between them.
fn more(i: u64, n: u64) -> bool {
    i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2
}

impl Mix {
    /// The type of everything no exception names.
    pub fn default_type(self) -> &'static str {
        match self {
            Self::Q2K | Self::Q2KS => "q2_k",
            Self::Q3KS | Self::Q3KM | Self::Q3KL => "q3_k",
            Self::Q4KS | Self::Q4KM => "q4_k",
            Self::Q5KS | Self::Q5KM => "q5_k",
            Self::Iq2S => "iq2_xs",
            Self::Iq2M => "iq2_s",
            Self::Iq3Xs | Self::Iq3S | Self::Iq3M => "iq3_s",
            Self::Mxfp4Moe => "mxfp4",
            plain => plain.word(),
        }
    }

    /// Whether matrices keep their float type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// 1- and 2-bit i-quants, which have exceptions of their own.
    fn is_tiny(self) -> bool {
        matches!(self, Self::Iq1S | Self::Iq1M | Self::Iq2Xxs | Self::Iq2Xs | Self::Iq2S | Self::Iq2M)
    }

    /// Whether the 2-bit file is one of the two larger ones.
    fn is_larger_tiny(self) -> bool {
        matches!(self, Self::Iq2S | Self::Iq2M)
    }

    /// Whether the format of a part depends on where a tensor stands, rather than on the model alone.
    pub fn varies(self, part: Part) -> bool {
        match part {
            Part::Values | Part::Down => true,
            Part::GateUp => self == Self::Iq3Xs,
            Part::Embedding
            | Part::Output
            | Part::Keys
            | Part::Queries
            | Part::AttentionOut
            | Part::Fused
            | Part::Rest => false,
        }
    }

    /// The format of a matrix with rows of `cols`, stacked for experts or heads or not.
    pub fn stored(self, part: Part, stacked: bool, cols: u64, at: Standing, shape: Shape) -> Named {
        fallback(self.wanted(part, stacked, cols, at, shape), cols)
    }

    /// The type the rules name for it, whether or not its blocks divide the row.
    pub fn wanted(self, part: Part, stacked: bool, cols: u64, at: Standing, shape: Shape) -> &'static str {
        if self.is_float() {
            self.word()
        } else if part == Part::Output {
            self.output(cols)
        } else if self == Self::Mxfp4Moe {
            if stacked { "mxfp4" } else { "q8_0" }
        } else if part == Part::Embedding {
            self.embedding()
        } else if self.is_tiny() {
            self.tiny(part, at, shape)
        } else {
            self.exception(part, at, shape)
        }
    }

    fn output(self, cols: u64) -> &'static str {
        let default = self.default_type();
        if self == Self::Mxfp4Moe || !divides(default, cols) {
            "q8_0"
        } else if self.is_tiny() || self == Self::Iq3Xxs {
            "q5_k"
        } else if default == "q8_0" {
            "q8_0"
        } else {
            "q6_k"
        }
    }

    fn embedding(self) -> &'static str {
        match self {
            Self::Iq1S | Self::Iq1M | Self::Iq2Xxs | Self::Iq2Xs => "q2_k",
            Self::Iq2S | Self::Iq2M | Self::Iq3Xxs => "iq3_s",
            Self::Tq1_0 | Self::Tq2_0 => "q4_k",
            other => other.default_type(),
        }
    }

    fn tiny(self, part: Part, at: Standing, shape: Shape) -> &'static str {
        let raised = if self.is_larger_tiny() { "iq3_s" } else { "q2_k" };
        match part {
            Part::Values if shape.group >= 4 || shape.experts >= 4 => "q4_k",
            Part::Values => raised,
            Part::Keys if shape.experts == 8 => "q4_k",
            Part::Down if at.downs < shape.layers / 8 => raised,
            Part::AttentionOut if shape.experts == 8 => "q5_k",
            Part::AttentionOut if matches!(self, Self::Iq1S | Self::Iq1M) => "iq2_xxs",
            Part::AttentionOut if self.is_larger_tiny() => "iq3_s",
            _ => self.default_type(),
        }
    }

    fn exception(self, part: Part, at: Standing, shape: Shape) -> &'static str {
        let default = self.default_type();
        match part {
            Part::Values => self.values(at.values, shape),
            Part::Keys if shape.experts == 8 => "q8_0",
            Part::Keys | Part::Queries => match self {
                Self::Iq3Xs => "iq3_xxs",
                Self::Iq3Xxs => "iq2_s",
                _ => default,
            },
            Part::Down => self.down(at, shape),
            Part::AttentionOut => self.attention_out(shape),
            Part::Fused => match self {
                Self::Q3KM | Self::Q3KL | Self::Iq3M => "q4_k",
                Self::Q4KM => "q5_k",
                Self::Q5KM => "q6_k",
                _ => default,
            },
            Part::GateUp => {
                let middle = at.layer >= shape.layers / 8 && at.layer < 7 * shape.layers / 8;
                if self == Self::Iq3Xs && middle { "iq3_xxs" } else { default }
            }
            Part::Embedding | Part::Output | Part::Rest => default,
        }
    }

    fn values(self, i: u64, shape: Shape) -> &'static str {
        let default = self.default_type();
        let shared = shape.group >= 4;
        let wanted = match self {
            Self::Q2K | Self::Q2KS | Self::Iq3Xxs | Self::Iq3Xs | Self::Iq3S if shared => "q4_k",
            Self::Q2K => "q3_k",
            Self::Iq3Xxs if !shape.imatrix => "iq3_s",
            Self::Q3KM if i < 2 => "q5_k",
            Self::Iq3M | Self::Q3KM => "q4_k",
            Self::Iq4Nl | Self::Iq4Xs if shared => "q5_k",
            Self::Q3KL => "q5_k",
            Self::Q4KM | Self::Q5KM if more(i, shape.values) => "q6_k",
            Self::Q4KS if i < 4 => "q5_k",
            _ => default,
        };
        match wanted {
            _ if shape.experts == 8 => "q8_0",
            "q3_k" | "q4_k" if shape.seventy => "q5_k",
            wanted => wanted,
        }
    }

    fn down(self, at: Standing, shape: Shape) -> &'static str {
        let (default, n) = (self.default_type(), shape.layers);
        // Experts are numbered by their layer, other down projections by a counter.
        let i = if shape.experts > 1 { at.layer } else { at.downs };
        let early = i < n / 8;
        match self {
            Self::Q2K => "q3_k",
            Self::Q2KS if early => "q4_k",
            Self::Iq3Xxs if !shape.imatrix => {
                if early {
                    "q4_k"
                } else {
                    "q3_k"
                }
            }
            Self::Q3KM if i < n / 16 => "q5_k",
            Self::Q3KM => "q4_k",
            Self::Iq3M if early || (shape.experts == 8 && more(i, n)) => "q4_k",
            Self::Q3KL => "q5_k",
            Self::Q4KM | Self::Q5KM if more(i, n) => "q6_k",
            Self::Q4KS if early => "q5_k",
            Self::Iq4Nl | Self::Iq4Xs if early && !shape.imatrix => "q5_k",
            Self::Q4_0 if early && shape.imatrix => "q4_1",
            Self::Q5_0 if early && shape.imatrix => "q5_1",
            _ => default,
        }
    }

    fn attention_out(self, shape: Shape) -> &'static str {
        if shape.experts == 8 {
            return match self {
                Self::Q2K
                | Self::Q3KS
                | Self::Q3KM
                | Self::Q4KS
                | Self::Q4KM
                | Self::Iq3Xxs
                | Self::Iq3Xs
                | Self::Iq3S
                | Self::Iq3M
                | Self::Iq4Nl
                | Self::Iq4Xs => "q5_k",
                other => other.default_type(),
            };
        }
        match self {
            Self::Q2K => "q3_k",
            Self::Iq3Xxs => "iq3_s",
            Self::Q3KM | Self::Iq3M => "q4_k",
            Self::Q3KL => "q5_k",
            other => other.default_type(),
        }
    }
}

/// Whether whole blocks of a type make up a row.
fn divides(name: &str, cols: u64) -> bool {
    cols.is_multiple_of(named(name).format.block)
}

/// The type itself, or the next larger one whose blocks divide the row.
pub fn fallback(wanted: &'static str, cols: u64) -> Named {
    if divides(wanted, cols) {
        return named(wanted);
    }
    let smaller_blocks = match wanted {
        "q4_k" => "q5_0",
        "q5_k" => "q5_1",
        "q6_k" => "q8_0",
        // 2- and 3-bit k-quants and all i-quants go to four bits in blocks of 32.
        _ => "iq4_nl",
    };
    named(if divides(smaller_blocks, cols) { smaller_blocks } else { "f16" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape =
        Shape { layers: 32, experts: 0, group: 4, values: 32, seventy: false, imatrix: true };

    fn stored(mix: Mix, part: Part, i: u64, shape: Shape) -> &'static str {
        mix.stored(part, false, 4096, Standing { layer: i, values: i, downs: i }, shape).name
    }

    #[test]
    fn every_rule_names_a_known_format_and_says_whether_it_varies() {
        for &mix in Mix::ALL {
            for part in [
                Part::Embedding,
                Part::Output,
                Part::Values,
                Part::Fused,
                Part::Keys,
                Part::Queries,
                Part::AttentionOut,
                Part::Down,
                Part::GateUp,
                Part::Rest,
            ] {
                for experts in [0, 8, 128] {
                    for imatrix in [false, true] {
                        let shape = Shape { experts, imatrix, ..SHAPE };
                        // Panics when `formats.toml` lacks the name.
                        let first = stored(mix, part, 0, shape);
                        let same = (1..32).all(|i| stored(mix, part, i, shape) == first);
                        assert!(same || mix.varies(part), "{mix} {part:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn medium_mixes_raise_every_third_layer() {
        let raised: Vec<u64> =
            (0..32).filter(|i| stored(Mix::Q4KM, Part::Down, *i, SHAPE) == "q6_k").collect();
        assert_eq!(raised, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
        assert_eq!(stored(Mix::Q4KM, Part::Values, 4, SHAPE), "q4_k");
        assert_eq!(stored(Mix::Q3KM, Part::Values, 1, SHAPE), "q5_k");
        assert_eq!(stored(Mix::Q3KM, Part::Values, 2, Shape { seventy: true, ..SHAPE }), "q5_k");
        assert_eq!(stored(Mix::Q4KM, Part::Values, 4, Shape { experts: 8, ..SHAPE }), "q8_0");
        assert_eq!(stored(Mix::Q4_0, Part::Down, 0, SHAPE), "q4_1");
        assert_eq!(stored(Mix::Q4_0, Part::Down, 0, Shape { imatrix: false, ..SHAPE }), "q4_0");
    }

    #[test]
    fn rows_that_blocks_do_not_divide_fall_back() {
        assert_eq!(fallback("q4_k", 2880).name, "q5_0");
        assert_eq!(fallback("q6_k", 2880).name, "q8_0");
        assert_eq!(fallback("iq2_xxs", 192).name, "iq4_nl");
        assert_eq!(fallback("q8_0", 36).name, "f16");
        assert_eq!(Mix::Q4KM.output(2880), "q8_0");
    }
}
