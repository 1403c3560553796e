//! Models of a hub by the headers of their files, asked for only where the user allows it.
//!
//! A model `organisation/name` is its `config.json` and the headers of its safetensors, a file
//! `organisation/name/file.gguf` the header of that file; of each only the range that can hold a
//! header is asked for, and no more of it is taken than is read.

#[cfg(not(feature = "net"))]
mod absent;
#[cfg(feature = "net")]
mod fetch;
#[cfg(all(test, feature = "net"))]
mod tests;
