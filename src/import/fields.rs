//! Reads keys of a `config.json`, noting what is missing or wrong and going on.

use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// No dimension of a model comes near this; larger figures are typing errors and would overflow.
const LARGEST: u64 = 100_000_000;

/// What was noted while reading, once each.
#[derive(Default)]
struct Notes {
    problems: Vec<String>,
    assumed: Vec<String>,
    /// Keys looked for, found or not.
    asked: BTreeSet<String>,
}

/// The keys that describe the text model, and the notes taken while reading them.
pub(super) struct Fields<'a> {
    /// Innermost first: `text_config`, then the whole file.
    tables: Vec<&'a Map<String, Value>>,
    /// Shared with the tables inside.
    notes: Rc<RefCell<Notes>>,
}

impl<'a> Fields<'a> {
    /// The keys of a whole file; those of its text model win.
    pub(super) fn new(root: &'a Map<String, Value>) -> Self {
        let text = ["text_config", "llm_config", "language_config"];
        let inner = text.iter().find_map(|key| root.get(*key)?.as_object());
        let tables = inner.into_iter().chain([root]).collect();
        Self { tables, notes: Rc::default() }
    }

    /// The keys of a table inside, without those outside.
    pub(super) fn table(&self, key: &str) -> Option<Fields<'a>> {
        let tables = vec![self.value(key)?.as_object()?];
        Some(Fields { tables, notes: Rc::clone(&self.notes) })
    }

    /// The first table inside, whatever its key.
    pub(super) fn first_table(&self) -> Option<Fields<'a>> {
        let table = self.tables.iter().flat_map(|table| table.values()).find_map(Value::as_object)?;
        Some(Fields { tables: vec![table], notes: Rc::clone(&self.notes) })
    }

    /// A figure that may have a fraction.
    pub(super) fn real(&self, key: &str) -> Option<f64> {
        self.value(key)?.as_f64().filter(|figure| figure.is_finite())
    }

    /// The value of a key, `null` being the same as absent.
    fn value(&self, key: &str) -> Option<&'a Value> {
        let asked = &mut self.notes.borrow_mut().asked;
        if !asked.contains(key) {
            asked.insert(key.to_owned());
        }
        self.tables.iter().filter_map(|table| table.get(key)).find(|value| !value.is_null())
    }

    /// Whether a key has a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// A figure under the first of several names it goes by.
    pub(super) fn number(&self, keys: &[&str]) -> Option<u64> {
        let (key, value) = keys.iter().find_map(|key| Some((key, self.value(key)?)))?;
        let number = value.as_u64().filter(|n| *n <= LARGEST);
        if number.is_none() {
            self.problem(format!("`{key}` is {value}, not a figure of a model"));
        }
        number
    }

    /// A figure that is at least one.
    pub(super) fn count(&self, keys: &[&str]) -> Option<u64> {
        self.number(keys).filter(|n| *n > 0)
    }

    /// A figure nothing can be said without; its absence is noted and 1 stands in to go on.
    pub(super) fn need(&self, keys: &[&str]) -> u64 {
        match self.number(keys) {
            Some(0) => self.problem(format!("`{}` is 0", keys.join("` or `"))),
            Some(number) => return number,
            // What is there and no figure has been noted as such.
            None if keys.iter().any(|key| self.has(key)) => {}
            None => self.problem(format!("lacks `{}`", keys.join("` or `"))),
        }
        1
    }

    /// A flag.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        if !value.is_boolean() {
            self.problem(format!("`{key}` is {value}, not true or false"));
        }
        value.as_bool()
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key)?.as_str()
    }

    /// A list of words.
    pub(super) fn words(&self, key: &str) -> Option<Vec<&'a str>> {
        let list = self.value(key)?.as_array()?;
        list.iter().map(Value::as_str).collect()
    }

    /// A list of figures.
    pub(super) fn numbers(&self, key: &str) -> Option<Vec<u64>> {
        let list = self.value(key)?.as_array()?;
        list.iter().map(Value::as_u64).collect()
    }

    /// Notes a problem, once.
    pub(super) fn problem(&self, text: impl Into<String>) {
        let text = text.into();
        let problems = &mut self.notes.borrow_mut().problems;
        if !problems.contains(&text) {
            problems.push(text);
        }
    }

    /// Notes an assumption, once.
    pub(super) fn assume(&self, text: impl Into<String>) {
        let text = text.into();
        let assumed = &mut self.notes.borrow_mut().assumed;
        if !assumed.contains(&text) {
            assumed.push(text);
        }
    }

    /// Keys with a value that nobody looked for.
    pub(super) fn unread(&self) -> Vec<&'a str> {
        let asked = &self.notes.borrow().asked;
        let says = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(table) => !table.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
        };
        let keys = self.tables.iter().flat_map(|table| table.iter());
        let mut unread: Vec<&str> = keys
            .filter(|(key, value)| says(value) && !asked.contains(*key))
            .map(|(key, _)| key.as_str())
            .collect();
        unread.sort_unstable();
        unread.dedup();
        unread
    }

    /// All problems noted.
    pub(super) fn problems(&self) -> Vec<String> {
        self.notes.borrow().problems.clone()
    }

    /// All assumptions noted.
    pub(super) fn assumed(&self) -> Vec<String> {
        self.notes.borrow().assumed.clone()
    }
}
