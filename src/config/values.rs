//! Values of the configuration as text, and the errors about them.

use super::keys::ConfigError;
use toml::Value;

/// A value as a configuration file has it.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key:?} = {}", written(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")).replace("{  }", "{}")
        }
        Value::Float(_) | Value::Datetime(_) => String::new(),
    }
}

/// What a value like this must be, in words.
pub(super) fn wanted(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list in brackets",
        Value::Table(_) => "a section",
        Value::Float(_) | Value::Datetime(_) => "another kind of value",
    }
}

/// The error for a value of the wrong type.
pub(super) fn bad_type(origin: &str, key: &str, wanted: &str) -> ConfigError {
    ConfigError::BadValue { origin: origin.to_owned(), key: key.to_owned(), problem: format!("must be {wanted}") }
}

/// The secret in a file.
pub(super) fn read_secret(origin: &str, key: &str, path: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::BadValue {
        origin: origin.to_owned(),
        key: key.to_owned(),
        problem: format!("cannot be read from {path}: {error}"),
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// The value of a text, parsed as the type of another value.
pub(super) fn from_text(like: &Value, text: &str) -> Option<Value> {
    match like {
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Some(Value::String(text.to_owned())),
    }
}
