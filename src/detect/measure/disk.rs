//! Sequential read of the disk past the cache of the system.

use crate::units::{Bandwidth, Bytes};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Size of one read, as loaders of weights use.
const BLOCK: usize = 4 << 20;

/// Alignment that direct reads need on any disk.
const ALIGN: usize = 4096;

/// Most that is written for the measurement and read in it.
const MOST_WRITTEN: u64 = 1 << 30;
const MOST_READ: u64 = 8 << 30;

/// Least of a file of weights to be read instead of one written now.
const LEAST_OF_WEIGHTS: u64 = 256 << 20;

/// How long is written, and read.
const WRITING: Duration = Duration::from_secs(4);
const READING: Duration = Duration::from_secs(4);

/// A measured read.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskRead {
    /// Bytes per second.
    pub rate: Bandwidth,
    /// What was read, and how.
    pub how: String,
}

/// Removes its file when dropped.
struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        // A file that cannot be removed is no reason to lose the figure.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Reads the largest file of weights in the folder, else a file written for it.
pub(super) fn read(folder: &Path) -> Result<DiskRead, String> {
    if let Some(weights) = weights(folder) {
        return timed(&weights, "a file of weights");
    }
    let path = folder.join(format!(".plimsoll-measure-{}.tmp", std::process::id()));
    let written = write(path).map_err(|error| format!("no file could be written here: {error}"))?;
    timed(&written.0, "a file written just before, which caches of the disk or its host may hold")
}

/// The largest file of weights directly in a folder.
fn weights(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let files = entries.filter_map(|entry| {
        let path = entry.path();
        let of_weights = path.extension().is_some_and(|kind| kind == "gguf" || kind == "safetensors");
        let size = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?.len();
        (of_weights && size >= LEAST_OF_WEIGHTS).then_some((size, path))
    });
    files.max().map(|(_, path)| path)
}

fn write(path: PathBuf) -> std::io::Result<Written> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = Written(path);
    // Numbers that do not compress, by Marsaglia's xorshift: some disks compress.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let block: Vec<u8> = (0..BLOCK / 8)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    let (start, mut size) = (Instant::now(), 0);
    while size < MOST_WRITTEN && start.elapsed() < WRITING {
        file.write_all(&block)?;
        size += BLOCK as u64;
    }
    file.sync_all()?;
    Ok(written)
}

fn timed(path: &Path, what: &str) -> Result<DiskRead, String> {
    let failed = |error: std::io::Error| format!("the file could not be read: {error}");
    let direct = open_direct(path).filter(works);
    let past = direct.is_some();
    let mut file = match direct {
        Some(file) => file,
        None => File::open(path).map_err(failed)?,
    };
    let mut buffer = vec![0_u8; BLOCK + ALIGN];
    let offset = buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
    let block = &mut buffer[offset..offset + BLOCK];
    let (start, mut size) = (Instant::now(), 0_u64);
    while size < MOST_READ && start.elapsed() < READING {
        let got = file.read(block).map_err(failed)?;
        size += got as u64;
        if got < BLOCK {
            break;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if size == 0 || seconds <= 0.0 {
        return Err("nothing could be read".to_owned());
    }
    let cache =
        if past { "past the cache of the system" } else { "through the cache of the system, so too fast" };
    let how = format!("read of {} in blocks of 4 MiB {cache}: {what}", Bytes::new(size as f64));
    Ok(DiskRead { rate: Bandwidth::new(size as f64 / seconds), how })
}

/// Whether direct reads work, which some file systems refuse only when asked.
fn works(mut file: &File) -> bool {
    let mut buffer = vec![0_u8; 2 * ALIGN];
    let offset = buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
    file.read(&mut buffer[offset..offset + ALIGN]).is_ok() && file.seek(SeekFrom::Start(0)).is_ok()
}

/// `O_DIRECT` of the kernel: include/uapi/asm-generic/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200_000 } else { 0o40_000 };
    OpenOptions::new().read(true).custom_flags(O_DIRECT).open(path).ok()
}

/// Unbuffered files of Windows: `FILE_FLAG_NO_BUFFERING` of `CreateFileW`.
#[cfg(windows)]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::windows::fs::OpenOptionsExt as _;
    OpenOptions::new().read(true).custom_flags(0x2000_0000).open(path).ok()
}

#[cfg(not(any(windows, all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))))]
fn open_direct(_path: &Path) -> Option<File> {
    None
}
