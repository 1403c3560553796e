//! The requests.

use crate::catalogue::hub::Hub;
use crate::catalogue::model::ModelSpec;
use crate::import::ImportError;
use crate::import::checkpoint::{Checkpoint, Fault, names_in, read_stream};
use crate::import::config::from_published;
use crate::import::gguf::{Header, from_header};
use crate::import::source::{ModelError, weigh};
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longest text taken: a config, an index.
const LONGEST_TEXT: u64 = 16 << 20;
/// Longest header taken, of either kind of file.
const LONGEST_HEADER: u64 = (16 << 20) + 8;
/// Files asked for at the same time.
const AT_ONCE: usize = 8;
/// Until a connection stands, and until an answer is read.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// An answer: the bytes that were asked for, and the length of the whole file.
struct Answer {
    body: Box<dyn Read + Send>,
    length: u64,
}

impl Hub {
    /// The model of a name.
    ///
    /// # Errors
    /// A hub that cannot be reached, a model it does not have, a file that is not what it says.
    pub fn fetch(&self, name: &str) -> Result<ModelSpec, ModelError> {
        let words: Vec<&str> = name.splitn(3, '/').collect();
        match words.as_slice() {
            [organisation, model, file] if file.to_ascii_lowercase().ends_with(".gguf") => {
                self.gguf(&format!("{organisation}/{model}"), file)
            }
            [organisation, model] => self.checkpoint(&format!("{organisation}/{model}")),
            _ => {
                Err(self.unread(name, "only checkpoints `organisation/name` and GGUF files in them are read"))
            }
        }
    }

    fn checkpoint(&self, model: &str) -> Result<ModelSpec, ModelError> {
        let config = self.text(model, "config.json")?;
        let config = config.ok_or_else(|| {
            self.unread(
                model,
                "it has no `config.json`; name one of its GGUF files as organisation/name/file.gguf",
            )
        })?;
        let of_file = |error: ImportError| ImportError { name: self.address(model, "config.json"), ..error };
        let mut spec = from_published(&config, model).map_err(of_file)?;
        let index = "model.safetensors.index.json";
        let names = match self.text(model, index)? {
            Some(text) => names_in(&text).map_err(|problem| self.bad(model, index, problem))?,
            None => vec!["model.safetensors".to_owned()],
        };
        if let Some(found) = self.headers(model, &names)? {
            weigh(&mut spec, &found);
        }
        Ok(spec)
    }

    /// The headers of files, several at once; none where the first is not there.
    fn headers(&self, model: &str, names: &[String]) -> Result<Option<Checkpoint>, ModelError> {
        let next = AtomicUsize::new(0);
        let found: Mutex<Result<Checkpoint, ModelError>> = Mutex::new(Ok(Checkpoint::default()));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(names.len()) {
                scope.spawn(|| {
                    while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let one = self.header(model, name);
                        let Ok(mut found) = found.lock() else { return };
                        match (&mut *found, one) {
                            (Ok(all), Ok(Some(one))) => all.join(one),
                            (Ok(all), Ok(None)) => all.missing = Some(format!("{name} is not there")),
                            (Ok(_), Err(error)) => *found = Err(error),
                            (Err(_), _) => return,
                        }
                    }
                });
            }
        });
        let all = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
        Ok((all.files > 0).then_some(all))
    }

    fn header(&self, model: &str, name: &str) -> Result<Option<Checkpoint>, ModelError> {
        let Some(mut answer) = self.get(model, name, LONGEST_HEADER)? else { return Ok(None) };
        let mut found = Checkpoint::default();
        match read_stream(&mut answer.body, answer.length, name, &mut found) {
            Ok(()) => Ok(Some(found)),
            Err(Fault::Io(source)) => Err(ModelError::Io { path: self.address(model, name), source }),
            Err(Fault::Bad(problem)) => Err(self.bad(model, name, problem)),
        }
    }

    fn gguf(&self, model: &str, file: &str) -> Result<ModelSpec, ModelError> {
        let Some(mut answer) = self.get(model, file, LONGEST_HEADER)? else {
            return Err(self.unread(&format!("{model}/{file}"), "the hub has no such file"));
        };
        let header = Header::read(&mut answer.body, Some(answer.length));
        let header = header.map_err(|fault| self.bad(model, file, fault.to_string()))?;
        let parts = header.number("split.count").unwrap_or(1);
        if parts > 1 {
            let reason = format!("it is one of {parts} parts; download all of them and name the first");
            return Err(self.unread(&format!("{model}/{file}"), &reason));
        }
        let name = file.rsplit('/').next().unwrap_or(file);
        let of_file = |error: ImportError| ImportError { name: self.address(model, file), ..error };
        Ok(from_header(&header, name.strip_suffix(".gguf").unwrap_or(name)).map_err(of_file)?)
    }

    /// A text of a model; none where the hub has none.
    fn text(&self, model: &str, file: &str) -> Result<Option<String>, ModelError> {
        let Some(answer) = self.get(model, file, LONGEST_TEXT)? else { return Ok(None) };
        if answer.length > LONGEST_TEXT {
            return Err(self.bad(model, file, format!("{} bytes are more than any has", answer.length)));
        }
        let mut text = String::new();
        let read = answer.body.take(LONGEST_TEXT).read_to_string(&mut text);
        read.map_err(|source| ModelError::Io { path: self.address(model, file), source })?;
        Ok(Some(text))
    }

    /// The first bytes of a file; none where there is no such file.
    fn get(&self, model: &str, file: &str, most: u64) -> Result<Option<Answer>, ModelError> {
        let address = self.address(model, file);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_connect(Some(PATIENCE.0))
            .timeout_global(Some(PATIENCE.1))
            .http_status_as_error(false)
            .build()
            .into();
        let mut request = agent.get(&address).header("range", format!("bytes=0-{}", most - 1));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.call().map_err(|fault| {
            let source =
                io::Error::other(format!("{fault}; without a network, give a folder or a config.json"));
            ModelError::Io { path: address.clone(), source }
        })?;
        let number = |name: &str| response.headers().get(name)?.to_str().ok();
        let whole = number("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok());
        let length = whole.or_else(|| number("content-length")?.parse().ok()).unwrap_or(u64::MAX);
        match response.status().as_u16() {
            200 | 206 => Ok(Some(Answer { body: Box::new(response.into_body().into_reader()), length })),
            404 => Ok(None),
            401 | 403 => Err(self
                .unread(model, "there is no such model, or it is gated: accept its terms and set HF_TOKEN")),
            other => Err(self.unread(model, &format!("the hub answers with status {other}"))),
        }
    }

    fn address(&self, model: &str, file: &str) -> String {
        format!("{}/{model}/resolve/main/{file}", self.base)
    }

    fn unread(&self, name: &str, reason: &str) -> ModelError {
        ModelError::Unread { path: format!("{}/{name}", self.base), reason: reason.to_owned() }
    }

    fn bad(&self, model: &str, file: &str, problem: String) -> ModelError {
        ImportError { name: self.address(model, file), problems: vec![problem] }.into()
    }
}
