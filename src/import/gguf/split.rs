//! Models split over several files: `name-00001-of-00003.gguf`.

use super::header::Header;
use super::reader::Fault;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// More parts than any model has.
const MOST_PARTS: u64 = 999;

/// Why a file, or a part beside it, could not be read.
#[derive(Debug)]
pub enum FileFault {
    /// The system refused.
    Io(PathBuf, io::Error),
    /// The header is broken.
    Header(PathBuf, Fault),
    /// The parts do not belong together.
    Parts(PathBuf, String),
}

/// A whole model: the header of the first part with the tensors of all, and what is missing.
#[derive(Debug)]
pub struct Whole {
    /// Header of the first part, with the tensors of all parts.
    pub header: Header,
    /// The first part that ends before its tensors do: a header alone, or an unfinished download.
    pub cut: Option<String>,
}

/// Reads the headers of a file and of the parts beside it.
///
/// # Errors
/// A part that is missing, broken, or of another model.
pub fn read_parts(path: &Path) -> Result<Whole, FileFault> {
    let (name, parts) = match numbered(path) {
        Some((stem, parts)) => (Some(stem), parts),
        None => (None, 1),
    };
    let part = |number: u64| {
        name.as_ref().map_or_else(
            || path.to_owned(),
            |stem| path.with_file_name(format!("{stem}-{number:05}-of-{parts:05}.gguf")),
        )
    };
    let first = part(1);
    let (mut header, mut cut) = read(&first)?;
    let stated = header.number("split.count").unwrap_or(1).max(1);
    if stated != parts {
        let problem = if parts == 1 {
            format!(
                "the model is split in {stated} parts; keep their names, which end in -00001-of-{stated:05}.gguf"
            )
        } else {
            format!("its name says {parts} parts, its header {stated}")
        };
        return Err(FileFault::Parts(first, problem));
    }
    let mut names: HashSet<String> = header.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    for number in 2..=parts {
        let file = part(number);
        let (more, more_cut) = read(&file)?;
        // Parts count from 0.
        if more.number("split.no").is_some_and(|at| at + 1 != number) {
            return Err(FileFault::Parts(file, "its header says it is another part".to_owned()));
        }
        if let Some(twice) = more.tensors.iter().find(|tensor| !names.insert(tensor.name.clone())) {
            let problem = format!("tensor `{}` is in an earlier part as well", twice.name);
            return Err(FileFault::Parts(file, problem));
        }
        header.tensors.extend(more.tensors);
        header.data_bytes = header.data_bytes.saturating_add(more.data_bytes);
        cut = cut.or(more_cut);
    }
    if let Some(count) = header.number("split.tensors.count")
        && count != header.tensors.len() as u64
    {
        let problem = format!("the parts hold {} tensors of {count}", header.tensors.len());
        return Err(FileFault::Parts(first, problem));
    }
    Ok(Whole { header, cut })
}

/// The name before the number of the part, and how many parts there are.
fn numbered(path: &Path) -> Option<(String, u64)> {
    let stem = path.file_stem()?.to_str()?;
    let (rest, parts) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(number) || !is_number(parts) {
        return None;
    }
    let parts = parts.parse().ok().filter(|parts| (1..=MOST_PARTS).contains(parts))?;
    Some((name.to_owned(), parts))
}

/// The header of one file, and what to say if the file ends before its tensors.
fn read(path: &Path) -> Result<(Header, Option<String>), FileFault> {
    let io = |error| FileFault::Io(path.to_owned(), error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let header = Header::read(&mut BufReader::new(file), Some(length))
        .map_err(|fault| FileFault::Header(path.to_owned(), fault))?;
    // Writers may leave out the padding after the last tensor.
    let last = header.tensors.last().map_or(0, |last| last.bytes % 32);
    let needed =
        header.data.saturating_add(header.data_bytes).saturating_sub(if last == 0 { 0 } else { 32 - last });
    let cut = (length < needed && !header.tensors.is_empty()).then(|| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("{name} has {length} of {needed} bytes: its table was read, its tensors are not all there")
    });
    Ok((header, cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        let found = numbered(Path::new("x/Kimi-K2-Q4_K_M-00002-of-00013.gguf"));
        assert_eq!(found, Some(("Kimi-K2-Q4_K_M".to_owned(), 13)));
        for plain in ["a.gguf", "a-1-of-2.gguf", "a-00001-of-00000.gguf", "a-00001-of-0000x.gguf"] {
            assert_eq!(numbered(Path::new(plain)), None, "{plain}");
        }
    }
}
