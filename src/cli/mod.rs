//! The command line: raw arguments in, a validated request out, errors and exit codes in one place.

pub mod args;
pub mod calibrate;
pub mod detect;
pub mod drafts;
pub mod error;
pub mod explain;
pub mod fit;
pub mod frontier;
pub mod hardware;
pub mod import;
pub mod levels;
mod machine_text;
pub mod models;
pub mod operators;
pub mod question;
mod resolve;
mod shell;
pub mod size;
pub mod terms;
pub mod validate;
pub mod workload;
pub mod workloads;

pub use args::Cli;
pub use shell::main;
