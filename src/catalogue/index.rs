//! Finds entries in catalogue text without parsing it, so that start-up stays fast.
//!
//! A grouped file holds one table per entry. Its sections are found by their headers `[id]`; a
//! header `[id.part]` or `[[id.part]]` belongs to the section above it. Entries are parsed when
//! they are asked for.

/// One entry of a grouped file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// The id in its header.
    pub(crate) id: &'a str,
    /// The text from its header to the next section.
    pub(crate) text: &'a str,
    /// Line of the header in the file, from 1.
    pub(crate) line: usize,
}

/// The first segment of a header line, and whether the header has more segments or is an array.
fn header(line: &str) -> Option<(&str, bool)> {
    let inner = line.strip_prefix('[')?;
    let (inner, array) = inner.strip_prefix('[').map_or((inner, false), |rest| (rest, true));
    if let Some(quoted) = inner.strip_prefix('"') {
        let (id, rest) = quoted.split_once('"')?;
        return rest.starts_with([']', '.']).then_some((id, array || rest.starts_with('.')));
    }
    let end = inner.find([']', '.'])?;
    let id = &inner[..end];
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    plain.then_some((id, array || inner[end..].starts_with('.')))
}

/// The sections of a grouped file, in the order of the text.
pub(crate) fn sections(text: &str) -> Vec<Section<'_>> {
    let mut starts: Vec<(&str, usize, usize)> = Vec::new();
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if let Some((id, child)) = header(line)
            && !(child && starts.last().is_some_and(|(last, ..)| *last == id))
        {
            starts.push((id, offset, number + 1));
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).map(|(_, start, _)| *start).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&(id, start, line), end)| Section { id, text: &text[start..end], line })
        .collect()
}

/// The other names a model file gives before its first table: `hub` and `aliases`.
pub(crate) fn model_names(text: &str) -> Vec<&str> {
    let end = text.find("\n[").map_or(text.len(), |i| i + 1);
    let top = &text[..end];
    let mut names = Vec::new();
    let mut inside_aliases = false;
    for line in top.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let starts = line.contains('=') && matches!(key, "hub" | "aliases");
        if starts {
            inside_aliases = key == "aliases";
        }
        if starts || inside_aliases {
            let values = if starts { line.split_once('=').map_or("", |(_, value)| value) } else { line };
            names.extend(values.split('"').skip(1).step_by(2));
            inside_aliases = inside_aliases && !values.contains(']');
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_end_at_the_next_entry() {
        let text = "# head\n[a-1]\nx = 1\n\n[[a-1.price]]\nusd = 2\n[\"b.5\"]\nlist = [\n  [1],\n]\n[c]\n";
        let found: Vec<(&str, usize)> = sections(text).iter().map(|s| (s.id, s.line)).collect();
        assert_eq!(found, [("a-1", 2), ("b.5", 7), ("c", 11)]);
        assert!(sections(text)[0].text.ends_with("usd = 2\n"));
    }

    #[test]
    fn model_names_stand_before_the_first_table() {
        let text = "id = \"m\"\nhub = \"org/M\"\naliases = [\n  \"m1\", \"m-one\",\n]\nfamily = \"x\"\n[config]\nhub = \"no\"\n";
        assert_eq!(model_names(text), ["org/M", "m1", "m-one"]);
    }
}
