//! JSON reading with limits: no duplicate keys, bounded size, depth and node count.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Largest message that is read, in bytes. A constraints message for a thousand sources has about 40,000.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Deepest nesting of objects and arrays that is read.
pub const MAX_DEPTH: usize = 32;

/// Largest number of JSON values in one message.
pub const MAX_NODES: usize = 16 * 1024;

/// Why a bridge-channel message was dropped.
#[derive(Debug, Error)]
pub enum ParseError {
    /// The text is longer than [`MAX_MESSAGE_BYTES`].
    #[error("message of {0} bytes is too large")]
    TooLarge(usize),
    /// Not JSON, a duplicate key, or beyond [`MAX_DEPTH`] or [`MAX_NODES`].
    #[error("invalid JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// The top level is not an object, or it has no string `colibriClass`.
    #[error("no colibriClass")]
    NoClass,
    /// A field of a known class is missing or has a value outside its range.
    #[error("invalid {class}: {source}")]
    Field {
        /// The message's `colibriClass`.
        class: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads one message: its class and its other fields.
pub(crate) fn read(text: &str) -> Result<(String, Map<String, Value>), ParseError> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(ParseError::TooLarge(text.len()));
    }
    let nodes = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict {
        depth: 0,
        nodes: &nodes,
    }
    .deserialize(&mut deserializer)
    .map_err(ParseError::Json)?;
    deserializer.end().map_err(ParseError::Json)?;
    let Value::Object(mut fields) = value else {
        return Err(ParseError::NoClass);
    };
    match fields.remove("colibriClass") {
        Some(Value::String(class)) => Ok((class, fields)),
        _ => Err(ParseError::NoClass),
    }
}

/// Turns the fields of a known class into its type.
pub(crate) fn fields<T: serde::de::DeserializeOwned>(
    class: &'static str,
    fields: Map<String, Value>,
) -> Result<T, ParseError> {
    serde_json::from_value(Value::Object(fields))
        .map_err(|source| ParseError::Field { class, source })
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    nodes: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let nodes = self.nodes.get() + 1;
        if nodes > MAX_NODES {
            return Err(D::Error::custom("too many values"));
        }
        self.nodes.set(nodes);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom("duplicate key"));
            }
            object.insert(key, map.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

/// Accepts an integer or a number with a fraction (which is cut off), saturating at the range of the target.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        _ => None,
    }
}

/// `deserialize_with` for an optional integer that may be written with a fraction or as `null`.
pub(crate) fn optional_integer<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: TryFrom<i64>,
{
    let value = <Value as serde::Deserialize>::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let number = integer(&value).ok_or_else(|| D::Error::custom("not a number"))?;
    T::try_from(number)
        .map(Some)
        .map_err(|_| D::Error::custom("number out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_are_refused_at_every_level() {
        for text in [
            r#"{"colibriClass":"A","colibriClass":"B"}"#,
            r#"{"colibriClass":"A","x":{"a":1,"a":1}}"#,
            r#"{"colibriClass":"A","x":[{"a":1,"\u0061":2}]}"#,
        ] {
            assert!(matches!(read(text), Err(ParseError::Json(_))), "{text}");
        }
    }

    #[test]
    fn limits_hold() {
        let deep = format!(
            r#"{{"colibriClass":"A","x":{}{}}}"#,
            "[".repeat(31),
            "]".repeat(31)
        );
        assert!(read(&deep).is_ok());
        let deeper = format!(
            r#"{{"colibriClass":"A","x":{}{}}}"#,
            "[".repeat(32),
            "]".repeat(32)
        );
        assert!(read(&deeper).is_err());
        let many = format!(
            r#"{{"colibriClass":"A","x":[{}1]}}"#,
            "1,".repeat(MAX_NODES)
        );
        assert!(matches!(read(&many), Err(ParseError::Json(_))));
        let large = format!(
            r#"{{"colibriClass":"A","x":"{}"}}"#,
            "x".repeat(MAX_MESSAGE_BYTES)
        );
        assert!(matches!(read(&large), Err(ParseError::TooLarge(_))));
    }

    #[test]
    fn not_a_message() {
        for text in ["", "[]", "1", "{}", r#"{"colibriClass":1}"#] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(r#"{"colibriClass":"A"} x"#).is_err());
    }
}
