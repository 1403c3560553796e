//! Reads the scalars of a GGUF header within bounds: hostile files cost no memory.

use std::fmt::Display;
use std::io::{self, Read};

/// Most bytes of names, texts and lists that are kept from one file.
const MOST_KEPT: usize = 32 << 20;

/// Bytes skipped at a time.
const SKIPPED: usize = 16 << 10;

/// What is wrong with a header, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}, {place}: {problem}")]
pub struct Fault {
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// The key or tensor being read, or the part of the header.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// A file being read: where it stands, its byte order, and what it is reading.
pub(super) struct Reader<'a> {
    input: &'a mut dyn Read,
    length: Option<u64>,
    offset: u64,
    kept: usize,
    pub(super) big_endian: bool,
    pub(super) place: String,
}

impl<'a> Reader<'a> {
    /// `length` is that of the whole file, where it is known.
    pub(super) fn new(input: &'a mut dyn Read, length: Option<u64>) -> Self {
        let place = "the beginning".to_owned();
        Self { input, length, offset: 0, kept: 0, big_endian: false, place }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// A fault at this place.
    pub(super) fn fault(&self, problem: impl Display) -> Fault {
        Fault { offset: self.offset, place: self.place.clone(), problem: problem.to_string() }
    }

    fn failed(&self, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.fault("the file ends here"),
            _ => self.fault(format_args!("could not be read: {error}")),
        }
    }

    /// So many bytes, in the order of this machine.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        self.offset += N as u64;
        Ok(bytes)
    }

    /// Bytes of a figure, least significant first.
    pub(super) fn figure<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = self.bytes::<N>()?;
        if self.big_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.figure()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.figure()?))
    }

    /// A number of things that take at least `each` bytes, refused where the file cannot hold them.
    pub(super) fn count(&mut self, what: &str, each: u64, most: u64) -> Result<u64, Fault> {
        let count = self.u64()?;
        let room = self.length.map_or(u64::MAX, |length| length.saturating_sub(self.offset));
        match count.checked_mul(each) {
            Some(bytes) if bytes <= room && count <= most => Ok(count),
            Some(bytes) if bytes > room => Err(self.fault(format_args!(
                "claims {count} {what}, which need {bytes} bytes, and the file has {room} left"
            ))),
            _ => Err(self.fault(format_args!("claims {count} {what}, more than any file has"))),
        }
    }

    /// Takes bytes from what may be kept of one file.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Fault> {
        self.kept += bytes;
        if self.kept > MOST_KEPT {
            return Err(self.fault("holds more names and lists than any header has"));
        }
        Ok(())
    }

    /// A text of at most `most` bytes; a longer one is an error.
    pub(super) fn text(&mut self, what: &str, most: u64) -> Result<String, Fault> {
        let length = self.count("characters", 1, u64::MAX)?;
        if length > most {
            return Err(self.fault(format_args!("{what} of {length} bytes; no file has more than {most}")));
        }
        self.keep(length as usize)?;
        // At most a few kilobytes, since longer ones are refused.
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        self.offset += length;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A text that is kept if it has at most `most` bytes and passed over otherwise.
    pub(super) fn short_text(&mut self, most: u64) -> Result<Option<String>, Fault> {
        let length = self.count("characters", 1, u64::MAX)?;
        if length > most {
            self.skip(length)?;
            return Ok(None);
        }
        self.keep(length as usize)?;
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(|error| self.failed(&error))?;
        self.offset += length;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), Fault> {
        let mut scratch = [0; SKIPPED];
        let mut left = length;
        while left > 0 {
            let now = left.min(SKIPPED as u64) as usize;
            self.input.read_exact(&mut scratch[..now]).map_err(|error| self.failed(&error))?;
            self.offset += now as u64;
            left -= now as u64;
        }
        Ok(())
    }
}
