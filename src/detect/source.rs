//! Where readings come from: this machine, or a record of another one.

use crate::detect::readings::Readings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read as _;
use std::sync::mpsc;
use std::time::Duration;

/// How long one probe may take before the machine is described without it.
const LIMIT: Duration = Duration::from_secs(3);

/// Most of a file that is read; kernel exports are far shorter.
const MOST_OF_A_FILE: u64 = 64 * 1024;

/// Most names taken from one folder.
const MOST_NAMES: usize = 4096;

/// Answers questions about a machine and keeps what was answered.
#[derive(Debug, Default)]
pub(super) struct Source {
    live: bool,
    pub(super) readings: Readings,
    /// What could not be asked, and why.
    pub(super) notes: Vec<String>,
}

impl Source {
    /// The machine this runs on.
    pub(super) fn live() -> Self {
        let (os, arch) = (std::env::consts::OS.to_owned(), std::env::consts::ARCH.to_owned());
        Self { live: true, readings: Readings { os, arch, ..Readings::default() }, notes: Vec::new() }
    }

    /// A recorded machine.
    pub(super) fn replay(readings: Readings) -> Self {
        Self { live: false, readings, notes: Vec::new() }
    }

    pub(super) fn is_linux(&self) -> bool {
        self.readings.os == "linux"
    }

    /// A note for the reader, once.
    pub(super) fn note(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// Runs one probe with a time limit: a driver that hangs costs a note, not the answer. The probe
    /// works on readings of its own, so that an abandoned one can write nowhere.
    pub(super) fn within_limit<T: Default + Send + 'static>(
        &mut self,
        name: &str,
        probe: fn(&mut Self) -> T,
    ) -> T {
        if !self.live {
            return probe(self);
        }
        let (sender, receiver) = mpsc::channel();
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut own = Self::live();
            let found = probe(&mut own);
            // Nobody listens once the limit has passed.
            drop(sender.send((found, own)));
        });
        match spawned.map(|_| receiver.recv_timeout(LIMIT)) {
            Ok(Ok((found, own))) => {
                self.readings.files.extend(own.readings.files);
                self.readings.links.extend(own.readings.links);
                self.readings.calls.extend(own.readings.calls);
                own.notes.into_iter().for_each(|note| self.note(note));
                found
            }
            Ok(Err(mpsc::RecvTimeoutError::Timeout)) => {
                self.note(format!("{name} did not answer within {} s and is left out", LIMIT.as_secs()));
                T::default()
            }
            Ok(Err(mpsc::RecvTimeoutError::Disconnected)) | Err(_) => {
                self.note(format!("the probe of {name} failed and is left out"));
                T::default()
            }
        }
    }

    /// The trimmed text of a file; nothing if it is absent, empty or not ours to read.
    pub(super) fn read(&mut self, path: &str) -> Option<String> {
        self.read_kept(path, |text| Some(text.to_owned()))
    }

    /// The part of a file that matters, which alone is recorded.
    pub(super) fn read_kept(&mut self, path: &str, keep: fn(&str) -> Option<String>) -> Option<String> {
        if self.live {
            let kept = bounded(path).and_then(|text| keep(text.trim())).filter(|text| !text.is_empty())?;
            self.readings.files.insert(path.to_owned(), kept);
        }
        // A record written by hand may hold more than is kept.
        self.readings.files.get(path).and_then(|text| keep(text.trim())).filter(|text| !text.is_empty())
    }

    /// A number in a file.
    pub(super) fn number(&mut self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// The last part of what a link points to.
    pub(super) fn link(&mut self, path: &str) -> Option<String> {
        if self.live {
            let target = std::fs::canonicalize(path).ok()?;
            let name = target.file_name()?.to_string_lossy().into_owned();
            self.readings.links.insert(path.to_owned(), name);
        }
        self.readings.links.get(path).cloned()
    }

    /// Names in a folder, sorted.
    pub(super) fn names(&mut self, folder: &str) -> Vec<String> {
        if !self.live {
            return self.readings.names_below(folder);
        }
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_NAMES);
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// What a library or the system answers to a question.
    pub(super) fn call<T: Serialize + DeserializeOwned>(
        &mut self,
        question: &str,
        ask: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        if self.live {
            let value = toml::Value::try_from(ask()?).ok()?;
            self.readings.calls.insert(question.to_owned(), value);
        }
        match self.readings.calls.get(question)?.clone().try_into() {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.note(format!("the recorded answer to `{question}` does not read: {error}"));
                None
            }
        }
    }
}

fn bounded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST_OF_A_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_hangs_costs_a_note() {
        let mut source = Source::live();
        let found: u32 = source.within_limit("a driver", |_| {
            std::thread::sleep(LIMIT * 4);
            7
        });
        assert_eq!(found, 0);
        assert_eq!(source.notes, ["a driver did not answer within 3 s and is left out"]);
    }

    #[test]
    fn a_record_answers_as_the_machine_did() {
        let mut live = Source::live();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let path = format!("{folder}/main.rs");
        let text = live.read(&path);
        assert!(text.is_some());
        assert_eq!(live.call("answer", || Some(42_u32)), Some(42));
        assert_eq!(live.call::<u32>("silence", || None), None);
        let text_of_record = live.readings.to_text();
        let mut replay = Source::replay(toml::from_str(&text_of_record).unwrap());
        assert_eq!(replay.read(&path), text);
        assert_eq!(replay.names(folder), ["main.rs"]);
        assert_eq!(replay.call("answer", || Some(0_u32)), Some(42));
        assert_eq!(replay.call("silence", || Some(1_u32)), None);
    }
}
