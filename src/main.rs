//! The binary `plan`: parse, run, map errors to exit codes.

fn main() -> std::process::ExitCode {
    plimsoll::cli::main()
}
