//! Loading the configuration: the sample's defaults, the file, the environment.

use super::check::check;
use super::keys::{Config, ConfigError, Origin, Setting, Surroundings};
use super::providers::{self, Entries};
use super::values::{bad_type, from_text, read_secret, wanted, written};
use crate::domain::sign_in::PasswordSignIn;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The documented sample: every key with its unit and default.
pub const SAMPLE: &str = include_str!("../../packhouse.sample.toml");
/// The prefix of environment variables. Each key has a variable: this prefix and its name in capitals, `_` for the
/// dots.
const PREFIX: &str = "PACKHOUSE_";
/// Keys whose value can be in a file, which `<key>_file` names.
const SECRET_KEYS: [&str; 6] = [
    "database.url",
    "admin.password",
    "metrics.token",
    "mail.smtp_url",
    "store.access_key_id",
    "store.secret_access_key",
];
/// The key that is true, false or a word.
const PASSWORD_SIGN_IN: &str = "auth.password_sign_in";

impl Config {
    /// Reads the sample's defaults, then the file (the given one, or `packhouse.toml` if it exists), then the
    /// environment of the process.
    ///
    /// # Errors
    /// An unreadable file, an unknown key or a bad value, named in the message.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let mut config = Self::from_sources(file, environment)?;
        config.surroundings = Surroundings {
            search_path: std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
            temp_dir: std::env::temp_dir(),
        };
        Ok(config)
    }

    /// [`Config::load`] with a given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_sources(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut settings = parse(Path::new("packhouse.sample.toml"), SAMPLE)?;
        let mut providers = Entries::take_defaults(&mut settings);
        let sample = settings.clone();
        let mut origins = BTreeMap::new();
        let default_file = Path::new("packhouse.toml");
        if let Some(path) = file.or_else(|| default_file.exists().then_some(default_file)) {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            let mut over = parse(path, &text)?;
            providers.take_from_file(&mut over, path)?;
            for key in dotted_keys(&over, "") {
                let key = key.strip_suffix("_file").filter(|key| SECRET_KEYS.contains(key)).unwrap_or(&key).to_owned();
                origins.insert(key, Origin::File(path.to_owned()));
            }
            merge(&mut settings, over, &path.display().to_string(), "")?;
        }
        let mut environment: Vec<_> = environment.into_iter().collect();
        environment.sort();
        for (name, value) in environment {
            let key = if name == "DATABASE_URL" {
                set(&mut settings, "database.url", &value, &name)?;
                "database.url".to_owned()
            } else if let Some(rest) =
                name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(providers::VARIABLES))
            {
                providers.set(rest, &value, &name)?;
                continue;
            } else if let Some(rest) = name.strip_prefix(PREFIX) {
                let Some(key) = set_from_environment(&mut settings, rest, &value, &name)? else { continue };
                key
            } else {
                continue;
            };
            origins.insert(key, Origin::Variable(name));
        }
        let mut shown = describe(&settings, &sample, &origins);
        let (providers, of_providers) = providers.finish()?;
        shown.extend(of_providers);
        shown.sort_by_key(|setting| (setting.key.contains('.'), setting.key.clone()));
        if let Some(auth) = settings.get_mut("auth").and_then(Value::as_table_mut) {
            auth.insert("oidc".to_owned(), providers);
        }
        let mut config: Self = Value::Table(settings).try_into().map_err(|error: toml::de::Error| {
            // The error has no field for the key; the last line of its text names it.
            let text = error.to_string();
            let key = text.lines().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
            ConfigError::BadValue {
                origin: "configuration".to_owned(),
                key: key.unwrap_or_default().to_owned(),
                problem: format!("is invalid: {}", error.message()),
            }
        })?;
        config.settings = shown;
        config.auth.oidc.iter_mut().try_for_each(providers::complete)?;
        check(&config)?;
        Ok(config)
    }
}

/// Every key with its value and where that comes from.
fn describe(settings: &Table, sample: &Table, origins: &BTreeMap<String, Origin>) -> Vec<Setting> {
    let value = |table: &Table, key: &str| {
        let found = match key.split_once('.') {
            Some((section, key)) => table.get(section).and_then(|section| section.get(key)),
            None => table.get(key),
        };
        found.map(written).unwrap_or_default()
    };
    let shown = |key: String| {
        let (own, default) = (value(settings, &key), value(sample, &key));
        let is_changed = own != default;
        let own = match (SECRET_KEYS.contains(&key.as_str()), own.as_str()) {
            (true, "" | "\"\"") => "not set".to_owned(),
            (true, _) => "set, not shown".to_owned(),
            (false, _) => own,
        };
        let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
        Setting { value: own, key, is_changed, origin }
    };
    dotted_keys(settings, "").into_iter().map(shown).collect()
}

fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|source| ConfigError::NotToml { path: path.to_owned(), source: Box::new(source) })
}

/// Overrides values of `base` with `over`. `base` has every allowed key.
fn merge(base: &mut Table, over: Table, origin: &str, above: &str) -> Result<(), ConfigError> {
    for (key, value) in over {
        let dotted = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if let Some(secret) = dotted.strip_suffix("_file").filter(|secret| SECRET_KEYS.contains(secret)) {
            let Some(path) = value.as_str() else {
                return Err(bad_type(origin, &dotted, "a path in quotes"));
            };
            let name = key.trim_end_matches("_file").to_owned();
            base.insert(name, Value::String(read_secret(origin, secret, path)?));
            continue;
        }
        match (base.get_mut(&key), value) {
            (None, _) => return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: dotted }),
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over, origin, &dotted)?,
            (Some(old), new) if old.same_type(&new) || is_password_word(&dotted, &new) => *old = new,
            (Some(old), _) => return Err(bad_type(origin, &dotted, wanted(old))),
        }
    }
    Ok(())
}

/// Whether this is the one word of a key that is otherwise true or false.
fn is_password_word(key: &str, value: &Value) -> bool {
    key == PASSWORD_SIGN_IN && value.as_str() == Some(PasswordSignIn::ADMINS)
}

/// Sets the key of a variable, and returns the key; `None` for a variable that is not meant for Packhouse. `rest` is the
/// variable's name without the prefix.
fn set_from_environment(
    settings: &mut Table,
    rest: &str,
    value: &str,
    name: &str,
) -> Result<Option<String>, ConfigError> {
    let wanted = rest.to_lowercase();
    let keys = dotted_keys(settings, "");
    let find = |wanted: &str| keys.iter().find(|key| key.replace('.', "_") == wanted);
    if let Some(key) = find(&wanted) {
        set(settings, key, value, name)?;
        return Ok(Some(key.clone()));
    }
    if let Some(key) = wanted.strip_suffix("_file").and_then(find).filter(|key| SECRET_KEYS.contains(&key.as_str())) {
        let secret = read_secret(name, key, value)?;
        set(settings, key, &secret, name)?;
        return Ok(Some(key.clone()));
    }
    if is_of_a_service(name, value) {
        return Ok(None);
    }
    Err(ConfigError::UnknownKey { origin: format!("environment variable {name}"), key: wanted })
}

/// Whether Kubernetes made this variable for a service whose name begins with "packhouse", as it does in every container
/// of the service's namespace, and Docker for a link: `PACKHOUSE_SERVICE_HOST`, `PACKHOUSE_DB_SERVICE_PORT_HTTP`,
/// `PACKHOUSE_PORT=tcp://10.0.0.1:80`, `PACKHOUSE_PORT_80_TCP_ADDR`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_of_a_service(name: &str, value: &str) -> bool {
    let is_protocol = |word: &str| ["TCP", "UDP", "SCTP"].contains(&word);
    let words: Vec<&str> = name.split('_').collect();
    let is_port = |rest: &[&str]| match rest {
        [] => value.split_once("://").is_some_and(|(protocol, _)| is_protocol(&protocol.to_uppercase())),
        [number, protocol] | [number, protocol, "PROTO" | "PORT" | "ADDR"] => {
            number.parse::<u16>().is_ok() && is_protocol(protocol)
        }
        _ => false,
    };
    (1..words.len()).any(|at| match words.get(at..).unwrap_or_default() {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        ["PORT", rest @ ..] => is_port(rest),
        _ => false,
    })
}

fn dotted_keys(table: &Table, above: &str) -> Vec<String> {
    table
        .iter()
        .flat_map(|(key, value)| {
            let dotted = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            match value {
                Value::Table(inner) => dotted_keys(inner, &dotted),
                _ => vec![dotted],
            }
        })
        .collect()
}

/// Sets one key from a text, parsed as the type of the key's default; a list is separated by commas.
fn set(settings: &mut Table, dotted: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let (table, key) = match dotted.split_once('.') {
        Some((section, key)) => (settings.get_mut(section).and_then(Value::as_table_mut), key),
        None => (Some(settings), dotted),
    };
    let Some(slot) = table.and_then(|table| table.get_mut(key)) else {
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: dotted.to_owned() });
    };
    let word = Some(Value::String(text.trim().to_owned())).filter(|word| is_password_word(dotted, word));
    *slot = word.or_else(|| from_text(slot, text)).ok_or_else(|| bad_type(origin, dotted, wanted(slot)))?;
    Ok(())
}
