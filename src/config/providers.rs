//! The OpenID Connect providers in the configuration: any number in the file, and one in the environment. The sample's
//! own entry has no name and stands for no provider: it has every key with its default.

use super::check::bad;
use super::keys::{ConfigError, Origin, Setting};
use super::oidc::OidcConfig;
use super::values::{bad_type, from_text, read_secret, wanted, written};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// The beginning of the environment variables of a provider, after the prefix of all variables.
pub(super) const VARIABLES: &str = "AUTH_OIDC_";
/// The key that can be read from a file.
const SECRET: &str = "client_secret";

/// Reads what a provider names, and checks everything that types don't.
pub(super) fn complete(provider: &mut OidcConfig) -> Result<(), ConfigError> {
    let name = provider.name.clone();
    provider.complete().map_err(|(key, problem)| bad(&format!("auth.oidc.{key} of {name}"), problem))
}

/// A provider as far as it is read, and where each key comes from.
struct Entry {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Entry {
    fn name(&self) -> &str {
        self.table.get("name").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The providers while they are read.
pub(super) struct Entries {
    defaults: Table,
    entries: Vec<Entry>,
    /// The keys that variables set.
    variables: Vec<(String, Value, String)>,
}

impl Entries {
    /// Takes the defaults out of the sample.
    pub(super) fn take_defaults(sample: &mut Table) -> Self {
        let defaults = take(sample).and_then(|list| match list {
            Value::Array(list) => list.into_iter().next(),
            _ => None,
        });
        let defaults = defaults.and_then(|value| value.as_table().cloned()).unwrap_or_default();
        Self { defaults, entries: Vec::new(), variables: Vec::new() }
    }

    /// Takes the providers out of a file.
    pub(super) fn take_from_file(&mut self, file: &mut Table, path: &Path) -> Result<(), ConfigError> {
        let (origin, key) = (path.display().to_string(), "auth.oidc");
        let list = match take(file) {
            None => return Ok(()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(bad_type(&origin, key, "a section in double brackets: [[auth.oidc]]")),
        };
        for value in list {
            let Value::Table(given) = value else {
                return Err(bad_type(&origin, key, "a section in double brackets: [[auth.oidc]]"));
            };
            // The sample as it stands is a configuration without a provider.
            if given == self.defaults {
                continue;
            }
            let mut entry = Entry { table: self.defaults.clone(), origins: BTreeMap::new() };
            for (key, value) in given {
                let (key, value) = self.read(&key, value, &origin)?;
                entry.origins.insert(key.clone(), Origin::File(path.to_owned()));
                entry.table.insert(key, value);
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    /// A key and its value, if it is one of the keys and of the right type.
    fn read(&self, key: &str, value: Value, origin: &str) -> Result<(String, Value), ConfigError> {
        let dotted = format!("auth.oidc.{key}");
        if key.strip_suffix("_file") == Some(SECRET) {
            let Some(path) = value.as_str() else { return Err(bad_type(origin, &dotted, "a path in quotes")) };
            return Ok((SECRET.to_owned(), Value::String(read_secret(origin, "auth.oidc.client_secret", path)?)));
        }
        let Some(default) = self.defaults.get(key) else {
            return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: dotted });
        };
        if default.same_type(&value) {
            Ok((key.to_owned(), value))
        } else {
            Err(bad_type(origin, &dotted, wanted(default)))
        }
    }

    /// Sets a key of the one provider that the environment describes. `rest` is the variable's name after
    /// [`VARIABLES`].
    pub(super) fn set(&mut self, rest: &str, text: &str, variable: &str) -> Result<(), ConfigError> {
        let key = rest.to_lowercase();
        let value = match self.defaults.get(&key) {
            Some(Value::Table(_)) => teams(text).ok_or_else(|| {
                bad_type(
                    variable,
                    "auth.oidc.teams",
                    "a list such as group = organization/team, other = organization/team",
                )
            })?,
            Some(default) => from_text(default, text)
                .ok_or_else(|| bad_type(variable, &format!("auth.oidc.{key}"), wanted(default)))?,
            None => Value::String(text.to_owned()),
        };
        let (key, value) = self.read(&key, value, variable)?;
        self.variables.push((key, value, variable.to_owned()));
        Ok(())
    }

    /// All providers for the configuration, and their settings for display.
    pub(super) fn finish(mut self) -> Result<(Value, Vec<Setting>), ConfigError> {
        self.add_variables()?;
        let mut shown = Vec::new();
        for entry in &self.entries {
            if entry.name().is_empty() {
                return Err(bad("auth.oidc.name", "is missing: every [[auth.oidc]] needs a name of its own"));
            }
            let same = |other: &&Entry| other.name().eq_ignore_ascii_case(entry.name());
            if self.entries.iter().filter(same).count() > 1 {
                return Err(bad(
                    "auth.oidc.name",
                    format!("is {} twice: every provider needs a name of its own", entry.name()),
                ));
            }
            for (key, value) in &entry.table {
                let text = match (key.as_str(), value.as_str()) {
                    (SECRET, Some("")) => "not set".to_owned(),
                    (SECRET, _) => "set, not shown".to_owned(),
                    _ => written(value),
                };
                shown.push(Setting {
                    key: format!("auth.oidc.{}.{key}", entry.name()),
                    value: text,
                    is_changed: self.defaults.get(key) != Some(value),
                    origin: entry.origins.get(key).cloned().unwrap_or(Origin::Default),
                });
            }
        }
        Ok((Value::Array(self.entries.into_iter().map(|entry| Value::Table(entry.table)).collect()), shown))
    }

    /// Variables change the provider that they name, or the only one, or else describe another.
    fn add_variables(&mut self) -> Result<(), ConfigError> {
        if self.variables.is_empty() {
            return Ok(());
        }
        let name = self.variables.iter().find(|(key, ..)| key == "name").and_then(|(_, value, _)| value.as_str());
        let known = match (name, self.entries.len()) {
            (Some(name), _) => self.entries.iter().position(|entry| entry.name() == name),
            (None, 1) => Some(0),
            (None, _) => {
                return Err(bad(
                    "auth.oidc.name",
                    "is missing: set PACKHOUSE_AUTH_OIDC_NAME to the name of the provider that the other variables are about",
                ));
            }
        };
        let at = known.unwrap_or(self.entries.len());
        if known.is_none() {
            self.entries.push(Entry { table: self.defaults.clone(), origins: BTreeMap::new() });
        }
        if let Some(entry) = self.entries.get_mut(at) {
            for (key, value, variable) in self.variables.drain(..) {
                entry.origins.insert(key.clone(), Origin::Variable(variable));
                entry.table.insert(key, value);
            }
        }
        Ok(())
    }
}

/// Removes the providers from a configuration.
fn take(settings: &mut Table) -> Option<Value> {
    settings.get_mut("auth").and_then(Value::as_table_mut).and_then(|auth| auth.remove("oidc"))
}

/// The groups and teams in a variable, separated by commas.
fn teams(text: &str) -> Option<Value> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
        let (group, team) = pair.rsplit_once('=')?;
        Some((group.trim().to_owned(), Value::String(team.trim().to_owned())))
    });
    pairs.collect::<Option<Table>>().map(Value::Table)
}
