//! Line and column of a path in a document that is known to be JSON.
//!
//! The document is read once more by a visitor that follows the path and fails on purpose when it
//! is there: the error carries the position.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Line and column, from 1, of the value at `path`; of the nearest value around it when it is not
/// there. `None` when the document is not JSON.
pub(super) fn position(text: &str, path: &str) -> Option<(usize, usize)> {
    let steps: Vec<Step<'_>> = steps(path);
    // The longest part of the path that exists: a default that was never written has no place.
    (0..=steps.len()).rev().find_map(|length| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let error = Seek { steps: &steps[..length] }.deserialize(&mut deserializer).err()?;
        (error.line() > 0).then(|| (error.line(), error.column().max(1)))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// `servers[0].routers` as key, index, key.
fn steps(path: &str) -> Vec<Step<'_>> {
    let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => Step::Index(index),
            None => Step::Key(part),
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Seek<'a> {
    steps: &'a [Step<'a>],
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.steps.is_empty() {
            // Whatever stands here is refused, a bool by the visitor; and right where it starts,
            // for nothing is read of what is no bool.
            return deserializer.deserialize_bool(Here);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value on the way")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if self.steps[0] == Step::Key(&key) {
                map.next_value_seed(Seek { steps: &self.steps[1..] })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Step::Index(wanted) = self.steps[0] else { return skip(seq) };
        for _ in 0..wanted {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Seek { steps: &self.steps[1..] })?;
        skip(seq)
    }
}

fn skip<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Fails whatever it is shown.
struct Here;

impl Visitor<'_> for Here {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: the place was found")
    }
}

#[cfg(test)]
mod tests {
    use super::position;

    const TEXT: &str = "{\n  \"a\": [\n    {\"b\": 1},\n    {\"b\": \"two\", \"c\": []}\n  ]\n}\n";

    #[test]
    fn a_path_is_found_on_its_line() {
        assert_eq!(position(TEXT, "a[0].b").map(|p| p.0), Some(3));
        assert_eq!(position(TEXT, "a[1].b").map(|p| p.0), Some(4));
        assert_eq!(position(TEXT, "a[1].c").map(|p| p.0), Some(4));
        assert_eq!(position(TEXT, "a").map(|p| p.0), Some(2));
    }

    #[test]
    fn a_path_that_is_not_there_is_placed_at_what_is_around_it() {
        assert_eq!(position(TEXT, "a[1].missing").map(|p| p.0), Some(4));
        assert_eq!(position(TEXT, "missing.too").map(|p| p.0), Some(1));
    }
}
