//! The workloads that come along.

use super::check::read_workload;
use super::spec::WorkloadSpec;
use crate::catalogue::nearest::ranked;
use include_dir::{Dir, include_dir};

static WORKLOADS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/examples/workloads");

/// Their names, in alphabetical order.
pub fn names() -> Vec<&'static str> {
    let files = WORKLOADS.files().filter_map(|file| file.path().file_name()?.to_str()?.strip_suffix(".toml"));
    let mut names: Vec<&str> = files.collect();
    names.sort_unstable();
    names
}

/// The workload of a name.
///
/// # Errors
/// Names that may have been meant.
///
/// # Panics
/// Never: a test reads every shipped file.
pub fn shipped(name: &str) -> Result<WorkloadSpec, Vec<String>> {
    let wanted = name.trim().to_lowercase().replace([' ', '_'], "-");
    let Some(file) = WORKLOADS.get_file(format!("{wanted}.toml")) else {
        return Err(ranked(&wanted, names()).into_iter().map(str::to_owned).collect());
    };
    let text = file.contents_utf8().expect("the shipped file is tested");
    Ok(read_workload(&format!("{wanted}.toml"), text).expect("the shipped file is tested"))
}
