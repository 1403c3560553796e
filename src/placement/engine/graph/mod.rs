//! The compute buffer of llama.cpp from the graph it reserves: operation by operation, with the
//! allocator of ggml.
//!
//! What is planned is the graph of one micro-batch at a full cache, as `llama_context::sched_reserve`
//! does since build 9500 (June 2026, its pull request 23861): logits for one token of every sequence
//! and not for the whole micro-batch. The order of the operations is that of `src/llama-graph.cpp`
//! and the files of `src/models`; it was read from the log of a running engine (`GGML_SCHED_DEBUG`)
//! and is held against its buffers in `tests/gguf`.
//!
//! Blocks whose operations were not read so (state spaces, short convolutions, compressed and
//! block-sparse attention, several residual streams) have no graph here.

mod arena;
mod attention;
mod feed_forward;
mod layers;
mod linear;
mod tensors;

pub(super) use layers::{Part, Reserve, buffer};
