//! The configuration: the sample file, files and environment, error messages.

use packhouse::config::{Config, ConfigError, Origin, SAMPLE};
use packhouse::domain::sign_in::PasswordSignIn;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use toml::{Table, Value};

/// Loads a configuration from the text of a file and environment variables.
fn read(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packhouse.toml");
    fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_sources(Some(&path), environment)
}

/// Every key of the sample as `section.key`, with its default.
fn keys() -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    for (name, value) in SAMPLE.parse::<Table>().unwrap() {
        match value {
            Value::Table(mut section) => {
                // Providers are no single keys; they have a test of their own.
                section.remove("oidc");
                keys.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => {
                keys.insert(name, value);
            }
        }
    }
    keys
}

const MANUAL: &str = include_str!("../../docs/operations/configuration.md");

/// The settings of a kind, by the manual's table of kinds; of one with a few words, also the words.
fn of_kind(kind: &str) -> BTreeSet<String> {
    let start = format!("| {kind} |");
    let row = MANUAL.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row {kind:?}"));
    let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys whose default is such a value, and which a test is true of.
fn keys_where(is: fn(&Value) -> bool, also: impl Fn(&str) -> bool) -> BTreeSet<String> {
    keys().into_iter().filter(|(key, value)| is(value) && also(key)).map(|(key, _)| key).collect()
}

fn variable(key: &str) -> String {
    format!("PACKHOUSE_{}", key.replace('.', "_").to_uppercase())
}

/// A value other than the default, as TOML and as the text of a variable.
fn other(key: &str, default: &Value) -> (String, String) {
    let text = match key {
        "listen" => "localhost:81",
        "public_url" => "https://other.example",
        "log.format" => "json",
        "store.kind" => "s3",
        "store.redirect" => "auto",
        "store.endpoint" => "https://s3.example.org",
        "store.server_side_encryption" => "aws:kms:some-key",
        "log.level" => "debug",
        "database.url" => "postgres://another.example/db",
        "trusted_proxies" | "webhooks.allowed_networks" => "192.0.2.1, 10.0.0.0/8",
        "trusted_publishing.allowed_issuers" => "https://git.example, http://10.0.0.7:3000",
        "security_contact" => "mailto:security@example.org",
        "mail.smtp_url" => "smtps://mail.example.org",
        "mail.from" => "packhouse@example.org",
        _ => match default {
            Value::Integer(_) => "57",
            Value::Boolean(true) => "false",
            Value::Boolean(false) => "true",
            _ => "another-value",
        },
    };
    let toml = match default {
        Value::String(_) => format!("{text:?}"),
        Value::Array(_) => {
            format!("[{}]", text.split(", ").map(|item| format!("{item:?}")).collect::<Vec<_>>().join(","))
        }
        _ => text.to_owned(),
    };
    (toml, text.to_owned())
}

/// Keys without which a key is refused, as variables.
fn needed(key: &str) -> Vec<(&'static str, &'static str)> {
    match key {
        "mail.smtp_url" => vec![
            ("PACKHOUSE_PUBLIC_URL", "https://packages.example.org"),
            ("PACKHOUSE_MAIL_FROM", "packhouse@packages.example.org"),
        ],
        "store.kind" => vec![("PACKHOUSE_STORE_BUCKET", "packages")],
        _ => Vec::new(),
    }
}

/// The whole configuration as text, including secrets, but not where each value comes from.
fn shown(config: &Config) -> String {
    let mut config = config.clone();
    for setting in &mut config.settings {
        setting.origin = Origin::Default;
    }
    let secrets = [
        &config.database.url,
        &config.admin.password,
        &config.metrics.token,
        &config.mail.smtp_url,
        &config.store.access_key_id,
        &config.store.secret_access_key,
    ];
    format!("{config:?} {:?}", secrets.map(|secret| secret.reveal().to_owned()))
}

#[test]
fn the_sample_has_every_key_with_its_default() {
    // Unknown keys are refused, and defaults exist only in the sample, so a sample that parses is complete.
    let of_sample = read(SAMPLE, &[]).unwrap();
    assert_eq!(shown(&of_sample), shown(&read("", &[]).unwrap()));
    assert_eq!(of_sample.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(of_sample.data_dir.to_str(), Some("./data"));
    assert_eq!(of_sample.limits.drain_seconds, 300);
    assert!(!of_sample.auth.query_tokens && !of_sample.require_signin);
    let names: BTreeSet<_> = keys().keys().map(|key| variable(key)).collect();
    assert_eq!(names.len(), keys().len(), "each key has a variable of its own");
}

#[test]
fn every_key_is_set_by_file_or_environment_and_environment_wins() {
    for (key, value) in keys() {
        let needed = needed(&key);
        let default = shown(&read("", &needed).unwrap());
        let (toml, text) = other(&key, &value);
        let file = match key.split_once('.') {
            Some((section, key)) => format!("[{section}]\n{key} = {toml}"),
            None => format!("{key} = {toml}"),
        };
        let variable = variable(&key);
        let with = |value| -> Vec<_> { needed.iter().copied().chain([(variable.as_str(), value)]).collect() };
        let by_file = shown(&read(&file, &needed).unwrap_or_else(|error| panic!("{error}")));
        let by_environment = shown(&read("", &with(&text)).unwrap_or_else(|error| panic!("{error}")));
        assert_ne!(by_file, default, "{key} has an effect");
        assert_eq!(by_file, by_environment, "{key}");
        let old = match &value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            _ => String::new(),
        };
        assert_eq!(shown(&read(&file, &with(&old)).unwrap()), default, "{key}: the environment wins");
    }
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    for setting in read("", &[]).unwrap().settings {
        let (key, default) = (&setting.key, &setting.value);
        let default = if default == "not set" { "\"\"" } else { default };
        let row = format!("| `{key}` | `{default}` | ");
        assert!(MANUAL.lines().any(|line| line.starts_with(&row)), "docs/operations/configuration.md lacks {row}");
    }
}

#[test]
fn the_manuals_kinds_of_values_are_those_of_the_code() {
    let refuses = |key: &str, value: &str| read("", &[(&variable(key), value)]).is_err();
    assert_eq!(of_kind("true or false"), keys_where(Value::is_bool, |_| true));
    assert_eq!(of_kind("list"), keys_where(Value::is_array, |_| true));
    assert_eq!(of_kind("number, -1 for no limit"), keys_where(Value::is_integer, |key| !refuses(key, "-1")));
    assert_eq!(of_kind("number, at least 1"), keys_where(Value::is_integer, |key| refuses(key, "0")));
    let from_file = |key: &str| match read("", &[(&format!("{}_FILE", variable(key)), "/nowhere")]).unwrap_err() {
        ConfigError::BadValue { problem, .. } => problem.contains("cannot be read"),
        _ => false,
    };
    assert_eq!(of_kind("secret"), keys_where(Value::is_str, from_file));
    // Of a word that is not one of a few, the error lists the few.
    let mut words = BTreeSet::new();
    for key in keys_where(Value::is_str, |_| true) {
        let refused = read("", &[(&variable(&key), "no-such-word")]).err().map(|error| error.to_string());
        if let Some((_, expected)) = refused.as_deref().and_then(|error| error.split_once("unknown variant")) {
            words.extend(expected.split('`').skip(3).step_by(2).map(str::to_owned));
            words.insert(key);
        }
    }
    assert_eq!(of_kind("one of a few words"), words);
}

/// A provider with everything that it needs.
const PROVIDER: &str = "[[auth.oidc]]\nname = \"corp\"\nissuer = \"https://login.example.org\"\nclient_id = \"x\"\n";

#[test]
fn every_key_of_a_provider_is_set_by_file_or_environment_and_documented() {
    let sample = SAMPLE.parse::<Table>().unwrap();
    let defaults = sample["auth"]["oidc"][0].as_table().unwrap().clone();
    let default = shown(&read(PROVIDER, &[]).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let icon = dir.path().join("icon.svg");
    fs::write(&icon, "<svg/>").unwrap();
    for (key, value) in &defaults {
        let text = match (key.as_str(), value) {
            ("name", _) => "other",
            ("issuer", _) => "http://10.0.0.1:8080/realms/x",
            ("icon", _) => icon.to_str().unwrap(),
            ("teams", _) => "a=acme/One, b=acme/Two",
            (_, Value::Boolean(false)) => "true",
            (_, Value::Integer(_)) => "7",
            _ => "one, two",
        };
        let toml = match value {
            Value::String(_) => format!("{key} = {text:?}\n"),
            Value::Array(_) => format!("{key} = [\"one\", \"two\"]\n"),
            Value::Table(_) => "teams = { \"a\" = \"acme/One\", \"b\" = \"acme/Two\" }\n".to_owned(),
            _ => format!("{key} = {text}\n"),
        };
        let lines = PROVIDER.lines().filter(|line| !line.starts_with(&format!("{key} ")));
        let file: String = lines.map(|line| format!("{line}\n")).chain([toml]).collect();
        let by_file = shown(&read(&file, &[]).unwrap_or_else(|error| panic!("{error}")));
        assert_ne!(by_file, default, "{key} has an effect");
        if key != "name" {
            let variable = format!("PACKHOUSE_AUTH_OIDC_{}", key.to_uppercase());
            let by_environment = shown(&read(PROVIDER, &[(&variable, text)]).unwrap_or_else(|error| panic!("{error}")));
            assert_eq!(by_file, by_environment, "{key}");
        }
        let written = match value {
            Value::String(text) => format!("{text:?}"),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            Value::Array(items) => {
                format!(
                    "[{}]",
                    items.iter().map(|item| format!("{:?}", item.as_str().unwrap())).collect::<Vec<_>>().join(", ")
                )
            }
            _ => "{}".to_owned(),
        };
        let row = format!("| `auth.oidc.{key}` | `{written}` | ");
        assert!(MANUAL.lines().any(|line| line.starts_with(&row)), "docs/operations/configuration.md lacks {row}");
    }
}

#[test]
fn providers_come_from_the_file_and_one_from_the_environment() {
    let names = |config: &Config| -> Vec<String> {
        config.auth.oidc.iter().map(|provider| format!("{} {}", provider.name, provider.client_id)).collect()
    };
    let two = format!("{PROVIDER}{}", PROVIDER.replace("corp", "other"));
    assert_eq!(names(&read("", &[]).unwrap()), [""; 0]);
    assert_eq!(names(&read(&two, &[]).unwrap()), ["corp x", "other x"]);
    let id = ("PACKHOUSE_AUTH_OIDC_CLIENT_ID", "y");
    assert_eq!(names(&read(PROVIDER, &[id]).unwrap()), ["corp y"], "the only one");
    let name = |name| ("PACKHOUSE_AUTH_OIDC_NAME", name);
    assert_eq!(names(&read(&two, &[id, name("other")]).unwrap()), ["corp x", "other y"]);
    let issuer = ("PACKHOUSE_AUTH_OIDC_ISSUER", "https://third.example");
    assert_eq!(names(&read(&two, &[id, name("third"), issuer]).unwrap()), ["corp x", "other x", "third y"]);
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "hush-hush\n").unwrap();
    let path = secret.to_str().unwrap();
    for config in [
        read(&format!("{PROVIDER}client_secret_file = {path:?}"), &[]).unwrap(),
        read(PROVIDER, &[("PACKHOUSE_AUTH_OIDC_CLIENT_SECRET_FILE", path)]).unwrap(),
    ] {
        assert_eq!(config.auth.oidc[0].client_secret.reveal(), "hush-hush");
        assert!(!format!("{config:?}").contains("hush"), "it is not shown");
        let setting = config.settings.iter().find(|setting| setting.key == "auth.oidc.corp.client_secret").unwrap();
        assert_eq!((setting.value.as_str(), setting.is_changed), ("set, not shown", true));
    }
    let bad_name = PROVIDER.replace("corp", "a b");
    let bad_issuer = PROVIDER.replace("https://login", "login");
    let twice = format!("{PROVIDER}{}", PROVIDER.replace("corp", "Corp"));
    for (file, environment, words) in [
        (&*two, &[id][..], &["auth.oidc.name", "PACKHOUSE_AUTH_OIDC_NAME"][..]),
        ("", &[id], &["auth.oidc.name", "PACKHOUSE_AUTH_OIDC_NAME"]),
        ("[[auth.oidc]]\nissuer = \"https://x.example\"", &[], &["auth.oidc.name", "missing"]),
        (&twice, &[], &["auth.oidc.name", "twice"]),
        (&bad_name, &[], &["name", "letters, digits"]),
        (&bad_issuer, &[], &["auth.oidc.issuer of corp", "https://"]),
        (&PROVIDER.replace("\"x\"", "\"\""), &[], &["auth.oidc.client_id of corp"]),
        (&format!("{PROVIDER}timeout_seconds = 0"), &[], &["auth.oidc.timeout_seconds of corp", "from 1 to 60"]),
        (&format!("{PROVIDER}allowed_domains = [\"a@b\"]"), &[], &["auth.oidc.allowed_domains of corp"]),
        (&format!("{PROVIDER}icon = \"/nowhere.svg\""), &[], &["auth.oidc.icon of corp", "/nowhere.svg"]),
        (&format!("{PROVIDER}icon = \"/nowhere.gif\""), &[], &["auth.oidc.icon of corp", ".png"]),
        (&format!("{PROVIDER}scopez = []"), &[], &["`auth.oidc.scopez`", "packhouse.toml"]),
        (&format!("{PROVIDER}scopes = \"a\""), &[], &["`auth.oidc.scopes`", "a list"]),
        (&format!("{PROVIDER}teams = {{ a = \"acme\" }}"), &[], &["organization/team"]),
        ("[auth.oidc]\nname = \"x\"", &[], &["`auth.oidc`", "[[auth.oidc]]"]),
        ("[auth]\npassword_sign_in = \"some\"", &[], &["`auth.password_sign_in`", "true or false"]),
        ("", &[("PACKHOUSE_AUTH_OIDC_ISUER", "x")], &["PACKHOUSE_AUTH_OIDC_ISUER", "`auth.oidc.isuer`"]),
        ("", &[("PACKHOUSE_AUTH_OIDC_TEAMS", "x")], &["PACKHOUSE_AUTH_OIDC_TEAMS", "organization/team"]),
    ] {
        let error = read(file, environment).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{file} {environment:?}: {error}");
    }
    for (text, expected) in [
        ("true", PasswordSignIn::Everybody),
        ("admins", PasswordSignIn::Administrators),
        ("false", PasswordSignIn::Nobody),
    ] {
        let config = read("", &[("PACKHOUSE_AUTH_PASSWORD_SIGN_IN", text)]).unwrap();
        assert_eq!(config.auth.password_sign_in, expected);
    }
    assert_eq!(
        read("[auth]\npassword_sign_in = \"admins\"", &[]).unwrap().auth.password_sign_in,
        PasswordSignIn::Administrators
    );
}

#[test]
fn database_url_sets_the_database_too() {
    let config = read("", &[("DATABASE_URL", "postgres://one/db")]).unwrap();
    assert_eq!(config.database.url.reveal(), "postgres://one/db");
    let both = [("DATABASE_URL", "postgres://one/db"), ("PACKHOUSE_DATABASE_URL", "postgres://two/db")];
    assert_eq!(read("", &both).unwrap().database.url.reveal(), "postgres://two/db");
    read("", &[("PATH", "/bin"), ("PACKHOUSED", "x"), ("packhouse_listen", "x")]).unwrap();
}

#[test]
fn secrets_can_be_read_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let secret = "postgres://let-me-in/db";
    // It must be an address of a mail server there.
    let mail = dir.path().join("mail");
    fs::write(&mail, "smtps://let-me-in.example.org\n").unwrap();
    let mut of_mail = needed("mail.smtp_url");
    of_mail.push(("PACKHOUSE_MAIL_SMTP_URL_FILE", mail.to_str().unwrap()));
    let config = read("", &of_mail).unwrap();
    assert!(config.sends_mail() && !format!("{config:?}").contains("let-me-in"));
    fs::write(&file, format!("{secret}\n")).unwrap();
    let path = file.to_str().unwrap();
    for (section, key) in [("database", "url"), ("admin", "password"), ("metrics", "token")] {
        let by_file = read(&format!("[{section}]\n{key}_file = {path:?}"), &[]).unwrap();
        let name = format!("{}_FILE", variable(&format!("{section}.{key}")));
        let by_environment = read("", &[(&name, path)]).unwrap();
        for config in [by_file, by_environment] {
            assert!(shown(&config).contains(secret), "{section}.{key}");
            assert!(!format!("{config:?}").contains(secret), "{section}.{key} is not shown");
        }
        let missing = read("", &[(&name, "/nowhere/at/all")]).unwrap_err().to_string();
        assert!(missing.contains(&format!("`{section}.{key}`")) && missing.contains("/nowhere/at/all"), "{missing}");
    }
    // Only secrets can be read from files of their own.
    let refused = read("", &[("PACKHOUSE_LISTEN_FILE", path)]).unwrap_err().to_string();
    assert!(refused.contains("PACKHOUSE_LISTEN_FILE") && refused.contains("listen_file"), "{refused}");
}

#[test]
fn unknown_configuration_keys_are_named() {
    for (file, key) in [
        ("lissen = \"x\"", "`lissen`"),
        ("[limits]\nfile_byte = 1", "`limits.file_byte`"),
        ("[limitz]\nfile_bytes = 1", "`limitz`"),
    ] {
        let error = read(file, &[]).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("packhouse.toml"), "{error}");
    }
    let error = read("", &[("PACKHOUSE_LISSEN", "x")]).unwrap_err().to_string();
    assert!(error.contains("PACKHOUSE_LISSEN") && error.contains("packhouse.sample.toml"), "{error}");
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_are_ignored() {
    for (name, value) in [
        ("PACKHOUSE_PORT", "tcp://10.0.0.1:3000"),
        ("PACKHOUSE_SERVICE_HOST", "10.0.0.1"),
        ("PACKHOUSE_SERVICE_PORT", "3000"),
        ("PACKHOUSE_SERVICE_PORT_HTTP", "3000"),
        ("PACKHOUSE_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
        ("PACKHOUSE_PORT_3000_TCP_PROTO", "tcp"),
        ("PACKHOUSE_PORT_3000_TCP_PORT", "3000"),
        ("PACKHOUSE_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ("PACKHOUSE_PORT_53_UDP_ADDR", "10.0.0.1"),
        ("PACKHOUSE_DB_SERVICE_HOST", "10.0.0.2"),
        ("PACKHOUSE_DB_PORT", "tcp://10.0.0.2:5432"),
        ("PACKHOUSE_DB_PORT_5432_TCP_ADDR", "10.0.0.2"),
    ] {
        read("", &[(name, value)]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (name, value) in [
        ("PACKHOUSE_PORT", "3000"),
        ("PACKHOUSE_LISTEN_PORT", "3000"),
        ("PACKHOUSE_SERVICE", "x"),
        ("PACKHOUSE_PORT_HTTP", "3000"),
        ("PACKHOUSE_HOST", "10.0.0.1"),
    ] {
        let error = read("", &[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn invalid_configuration_values_are_named() {
    for (file, words) in [
        ("listen = 3000", &["`listen`", "a text in quotes"][..]),
        ("listen = \"localhost\"", &["`listen`", "\"localhost\"", "localhost:3000"]),
        ("listen = \"127.0.0:80\"", &["`listen`", "127.0.0.1:3000"]),
        ("require_signin = \"yes\"", &["`require_signin`", "true or false"]),
        ("[limits]\nfile_bytes = \"1\"", &["`limits.file_bytes`", "a whole number"]),
        ("[limits]\nfile_bytes = -2", &["`limits.file_bytes`", "-1"]),
        ("[limits]\nconnections = -1", &["`limits.connections`"]),
        ("[quota]\nbytes = -7", &["`quota.bytes`"]),
        ("[webhooks]\nallowed_networks = [\"localhost\"]", &["`webhooks.allowed_networks`", "localhost"]),
        ("[webhooks]\ntimeout_seconds = 0", &["`webhooks.timeout_seconds`", "at least 1"]),
        ("[webhooks]\ntimeout_seconds = 61", &["`webhooks.timeout_seconds`", "at most 60"]),
        (
            "[trusted_publishing]\nallowed_issuers = [\"git.intranet\"]",
            &["`trusted_publishing.allowed_issuers`", "git.intranet"],
        ),
        ("[trusted_publishing]\ntimeout_seconds = 0", &["`trusted_publishing.timeout_seconds`", "at least 1"]),
        ("[trusted_publishing]\ntimeout_seconds = 61", &["`trusted_publishing.timeout_seconds`", "at most 60"]),
        ("limits = 5", &["`limits`", "a section"]),
        ("trusted_proxies = [\"nonsense\"]", &["`trusted_proxies`", "nonsense"]),
        ("trusted_proxies = \"127.0.0.1\"", &["`trusted_proxies`", "a list"]),
        ("public_url = \"packages.example.org\"", &["`public_url`", "https://packages.example.org"]),
        ("public_url = \"https://h/a b\"", &["`public_url`", "https://packages.example.org"]),
        ("public_url = \"https://h/a/../b\"", &["`public_url`", "letters, digits"]),
        ("public_url = \"https://h/api\"", &["`public_url`", "/api", "choose another path"]),
        ("public_url = \"https://h/boss\"\n[admin]\nuser = \"boss\"", &["`admin.user`", "public_url"]),
        ("security_contact = \"security@example.org\"", &["`security_contact`", "mailto:"]),
        ("[log]\nformat = \"xml\"", &["`log.format`", "xml"]),
        ("[log]\nlevel = \"a=b=c\"", &["`log.level`"]),
        ("[log]\nlevel = \"loud\"", &["`log.level`", "info or debug"]),
        ("[log]\nlevel = \"\"", &["`log.level`"]),
        ("[log]\nlevel = \"info,packhous\"", &["`log.level`"]),
        ("[jobs]\nflush_seconds = 0", &["`jobs.flush_seconds`", "at least 1"]),
        ("[admin]\nuser = \"a b\"", &["`admin.user`", "not a valid user name"]),
        ("[admin]\nuser = \"api\"", &["`admin.user`", "reserved"]),
        ("[admin]\npassword = \"short\"", &["`admin.password`", "at least 12 characters"]),
        ("[admin]\nuser = \"root-of-all-1\"\npassword = \"root-of-all-1\"", &["`admin.password`", "name"]),
        ("[database]\nread_connections = 0", &["database.read_connections"]),
        ("[mail]\nsmtp_url = \"mail.example.org\"", &["`mail.smtp_url`", "smtps://"]),
        ("[mail]\nsmtp_url = \"smtp://ada@mail\"", &["`mail.smtp_url`", "without a password"]),
        ("[mail]\nsmtp_url = \"smtps://mail\"", &["`mail.from`", "must be set"]),
        ("[mail]\nsmtp_url = \"smtps://mail\"\nfrom = \"p@example.org\"", &["`public_url`", "must be set"]),
        ("[mail]\nfrom = \"Packhouse\"", &["`mail.from`", "Packhouse <packhouse@example.org>"]),
        ("[store]\nkind = \"disk\"", &["`store.kind`", "disk"]),
        ("[store]\nkind = \"s3\"", &["`store.bucket`", "must be set"]),
        ("[store]\nendpoint = \"s3.example.org\"", &["`store.endpoint`", "https://s3.example.org"]),
        ("[store]\nprefix = \"a/../b\"", &["`store.prefix`", "must be a path"]),
        ("[store]\nserver_side_encryption = \"yes\"", &["`store.server_side_encryption`", "AES256"]),
        (
            "[store]\nkind = \"s3\"\nbucket = \"b\"\naccess_key_id = \"id\"",
            &["store.secret_access_key", "must both be set"],
        ),
        ("[store]\ntimeout_seconds = 0", &["`store.timeout_seconds`", "at least 1"]),
        ("listen = ", &["packhouse.toml", "TOML"]),
    ] {
        let error = read(file, &[]).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{file}: {error}");
    }
    for (name, value, words) in [
        ("PACKHOUSE_REQUIRE_SIGNIN", "yes", "true or false"),
        ("PACKHOUSE_WORKERS", "two", "a whole number"),
        ("PACKHOUSE_LIMITS_FILE_BYTES", "10 GB", "a whole number"),
    ] {
        let error = read("", &[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
}

#[test]
fn a_named_configuration_file_must_exist() {
    let missing = std::path::Path::new("/nowhere/packhouse.toml");
    let error = Config::from_sources(Some(missing), []).unwrap_err().to_string();
    assert!(error.contains("/nowhere/packhouse.toml"), "{error}");
}

#[test]
fn log_levels_and_filters_are_accepted() {
    for level in
        ["error", "INFO", "off", "info,packhouse=debug", "warn,actix_server=off", "info,packhouse[request]=trace"]
    {
        read("", &[("PACKHOUSE_LOG_LEVEL", level)]).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn an_invalid_connection_string_is_refused_and_never_shown() {
    for url in [
        "postgres://host/db",
        "postgresql://ada:secret@host:5432/db?sslmode=require",
        "postgres://ada:p%40ss%25@[::1]:5432/db",
        "postgres://[::1]/db",
        "postgres://one:5432,two:5433/db",
        "postgres:///packhouse?host=%2Frun%2Fpostgresql&port=5432",
        "postgres://",
        "host=/run/postgresql dbname=packhouse user=ada password='a b'",
        "host=one,two port=5432,5433",
    ] {
        read("", &[("DATABASE_URL", url)]).unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for url in [
        "secret",
        "mysql://ada:secret@host/db",
        "mysql://ada:secret@host/db?a=b",
        "postgres//ada:secret@host/db",
        "postgres://ada:secret@host:port/db",
        "postgres://ada:secret@host:0/db",
        "postgres://ada:secret@host:65536/db",
        "postgres://ada:secret@[::1]:x/db",
        "postgres://ada:sec/ret@host/db",
        "postgres://ada:secret%@host/db",
        "postgres://ada:secret%zz@host/db",
        "host=secret port=many",
    ] {
        let error = read("", &[("DATABASE_URL", url)]).unwrap_err().to_string();
        assert!(error.contains("`database.url`"), "{url}: {error}");
        assert!(!error.contains("sec") && !error.contains(url), "{url}: {error}");
    }
}

#[test]
fn the_first_administrator_password_is_never_shown() {
    let error = read("", &[("PACKHOUSE_ADMIN_PASSWORD", "hush-hush")]).unwrap_err().to_string();
    assert!(error.contains("`admin.password`") && !error.contains("hush"), "{error}");
}
