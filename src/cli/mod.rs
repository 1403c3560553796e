//! The command line: arguments to requests, plans to text, errors to exit codes.

pub mod error;
