//! Plain American English: people are "they", and there is one spelling of a word.

use crate::program::Home;
use crate::support::Site;
use std::fs;
use std::path::{Path, PathBuf};

/// Pronouns that leave out most people.
const MASCULINE: [&str; 4] = ["he", "him", "his", "himself"];

/// British words, each as it stands.
const BRITISH: [&str; 65] = [
    "acknowledgement",
    "acknowledgements",
    "ageing",
    "aluminium",
    "amongst",
    "analogue",
    "analyse",
    "analysed",
    "analysing",
    "burnt",
    "calibre",
    "cancelled",
    "cancelling",
    "catalogue",
    "catalogued",
    "catalogues",
    "centre",
    "centred",
    "centres",
    "channelled",
    "cheque",
    "cosy",
    "defence",
    "dialled",
    "enquire",
    "enquiry",
    "enrol",
    "enrolment",
    "enrols",
    "fibre",
    "fuelled",
    "fulfil",
    "fulfilment",
    "fulfils",
    "grey",
    "greyed",
    "judgement",
    "kilometre",
    "labelled",
    "labelling",
    "learnt",
    "levelled",
    "licence",
    "licences",
    "litre",
    "manoeuvre",
    "metre",
    "metres",
    "modelled",
    "modelling",
    "offence",
    "pretence",
    "programme",
    "programmes",
    "sceptical",
    "signalled",
    "signalling",
    "skilful",
    "spelt",
    "theatre",
    "totalled",
    "travelled",
    "travelling",
    "unlabelled",
    "whilst",
];

/// Parts of words that only British words have.
const BRITISH_PARTS: [&str; 18] = [
    "armour",
    "artefact",
    "behaviour",
    "candour",
    "colour",
    "endeavour",
    "favour",
    "flavour",
    "harbour",
    "honour",
    "humour",
    "labour",
    "neighbour",
    "odour",
    "rigour",
    "rumour",
    "vapour",
    "vigour",
];

/// Words that end in `ise` in American English too. All others end in `ize`.
const ENDS_IN_ISE: [&str; 51] = [
    "advertise",
    "advise",
    "appraise",
    "apprise",
    "arise",
    "braise",
    "bruise",
    "chastise",
    "clockwise",
    "comprise",
    "compromise",
    "concise",
    "crise",
    "cruise",
    "demise",
    "despise",
    "devise",
    "disguise",
    "enterprise",
    "excise",
    "exercise",
    "expertise",
    "franchise",
    "guise",
    "imprecise",
    "improvise",
    "incise",
    "ise",
    "liaise",
    "likewise",
    "merchandise",
    "mise",
    "noise",
    "otherwise",
    "paradise",
    "poise",
    "praise",
    "precise",
    "premise",
    "promise",
    "raise",
    "reprise",
    "revise",
    "rise",
    "supervise",
    "surprise",
    "televise",
    "tortoise",
    "treatise",
    "turquoise",
    "wise",
];

/// Words that stay because they are names: where they stand, and the word.
const ALLOWED: [(&str, &str); 0] = [];

fn is_british(word: &str) -> bool {
    if BRITISH.contains(&word) || BRITISH_PARTS.iter().any(|part| word.contains(part)) {
        return true;
    }
    let root = match word {
        _ if word.ends_with("isation") || word.ends_with("isations") => {
            return word.trim_end_matches('s') != "improvisation";
        }
        _ if word.ends_with("ise") => word.to_owned(),
        _ if word.ends_with("ised") || word.ends_with("ises") => word[..word.len() - 1].to_owned(),
        _ if word.ends_with("ising") => format!("{}e", &word[..word.len() - 3]),
        _ => return false,
    };
    !ENDS_IN_ISE.contains(&root.as_str())
}

/// The words of a text that are masculine or British, each with the number of its line.
fn faults(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, words) in text.lines().enumerate() {
        for word in words.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.is_ascii()) {
            let lower = word.to_lowercase();
            if MASCULINE.contains(&lower.as_str()) || is_british(&lower) {
                found.push((line + 1, word.to_owned()));
            }
        }
    }
    found
}

/// Where a comment or a string ends that begins here, if one does.
fn end_of_text(rest: &str, after_word: bool) -> Option<usize> {
    let ends_behind = |mark: &str, from: usize| {
        rest.get(from..).and_then(|tail| tail.find(mark)).map_or(rest.len(), |at| from + at + mark.len())
    };
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(ends_behind("*/", 2));
    }
    if rest.starts_with('r') && !after_word {
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        if rest[1 + hashes..].starts_with('"') {
            return Some(ends_behind(&format!("\"{}", "#".repeat(hashes)), hashes + 2));
        }
    }
    if rest.starts_with('"') {
        let mut is_escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !is_escaped;
            is_escaped = *c == '\\' && !is_escaped;
            ends
        });
        return Some(end.map_or(rest.len(), |(at, _)| at + 1));
    }
    None
}

/// The comments and strings of Rust code; everything else is spaces.
fn texts_of_rust(code: &str) -> String {
    let (mut texts, mut at, mut after_word) = (String::new(), 0, false);
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        if let Some(end) = end_of_text(rest, after_word) {
            texts.push_str(&rest[..end]);
            at += end;
            after_word = false;
            continue;
        }
        // A quote in a character is not the beginning of a string.
        let skipped = ["'\"'", "'\\\"'", "b'\"'"]
            .iter()
            .find(|quote| rest.starts_with(**quote))
            .map_or(c.len_utf8(), |q| q.len());
        texts.push(if c == '\n' { '\n' } else { ' ' });
        after_word = c.is_alphanumeric() || c == '_';
        at += skipped;
    }
    texts
}

/// The comments of a style sheet; everything else is spaces.
fn texts_of_css(sheet: &str) -> String {
    let mut texts = String::new();
    for (number, part) in sheet.split("/*").enumerate() {
        let (comment, rest) = if number == 0 { ("", part) } else { part.split_once("*/").unwrap_or((part, "")) };
        texts.push_str(comment);
        texts.extend(rest.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    }
    texts
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files in a folder whose names have one of these endings.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, endings, found);
        } else if path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one)) {
            found.push(path);
        }
    }
}

/// Panics with all faults, each as `file:line:word`.
fn assert_plain(texts: impl IntoIterator<Item = (String, String)>) {
    let mut all = Vec::new();
    for (name, text) in texts {
        let wrong = faults(&text).into_iter().filter(|(_, word)| !ALLOWED.contains(&(name.as_str(), word.as_str())));
        all.extend(wrong.map(|(line, word)| format!("{name}:{line}:{word}")));
    }
    assert!(all.is_empty(), "{} words to replace\n{}", all.len(), all.join("\n"));
}

/// The texts of the files in some folders, read by `texts_of`.
fn read(folders: &[&str], endings: &[&str], texts_of: fn(&str) -> String) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in folders {
        let path = root().join(folder);
        if path.is_dir() { files(&path, endings, &mut paths) } else { paths.push(path) }
    }
    paths.sort();
    assert!(!paths.is_empty());
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), texts_of(&fs::read_to_string(path).unwrap()))).collect()
}

#[test]
fn the_pages_and_scripts_are_in_plain_american_english() {
    assert_plain(read(&["templates", "static"], &["html", "js"], str::to_owned));
    assert_plain(read(&["static"], &["css"], texts_of_css));
}

#[test]
fn the_manual_and_the_sample_are_in_plain_american_english() {
    assert_plain(read(&["docs", "README.md", "packhouse.sample.toml"], &["md"], str::to_owned));
}

#[test]
fn comments_and_messages_of_the_code_are_in_plain_american_english() {
    assert_plain(read(&["src"], &["rs"], texts_of_rust));
}

#[tokio::test]
async fn the_openapi_document_is_in_plain_american_english() {
    let document = Site::new().anon().get("/api/openapi.json").await.is(200).json();
    assert_plain([("/api/openapi.json".to_owned(), serde_json::to_string_pretty(&document).unwrap())]);
}

#[test]
fn the_help_of_every_command_is_in_plain_american_english() {
    let home = Home::new();
    let (mut open, mut texts) = (vec![Vec::<String>::new()], Vec::new());
    while let Some(command) = open.pop() {
        let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = home.run(&args).out;
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        for name in listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
            if !name.is_empty() && name != "help" {
                open.push(command.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
        texts.push((args.join(" "), help));
    }
    assert!(texts.len() > 10, "the commands and their subcommands: {}", texts.len());
    assert_plain(texts);
}

#[test]
fn planted_words_are_found_with_their_lines_and_others_are_not() {
    let planted =
        "Tell him that his organisation\nhonours the licence; HE himself cancelled.\nNormalised behaviours: grey.";
    let found = faults(planted);
    let words: Vec<_> = found.iter().map(|(line, word)| (*line, word.as_str())).collect();
    assert_eq!(
        words,
        [
            (1, "him"),
            (1, "his"),
            (1, "organisation"),
            (2, "honours"),
            (2, "licence"),
            (2, "HE"),
            (2, "himself"),
            (2, "cancelled"),
            (3, "Normalised"),
            (3, "behaviours"),
            (3, "grey"),
        ]
    );
    let plain = "The organization's history: she is otherwise promised this; raising, rising, cancellation, crises, is_himself.";
    assert_eq!(faults(plain), []);
}

#[test]
fn only_comments_and_strings_of_code_are_read() {
    let code = "/// Of him.\nlet his = '\"'; // he\nlet text = \"a \\\" him\"; let raw = r#\"his \"colour\"\"#;\nlet grey = 1; /* him */";
    let found = faults(&texts_of_rust(code));
    let words: Vec<_> = found.iter().map(|(line, word)| (*line, word.as_str())).collect();
    assert_eq!(words, [(1, "him"), (2, "he"), (3, "him"), (3, "his"), (3, "colour"), (4, "him")]);
    let sheet = "a { color: grey; }\n/* Our colour. */ b { color: grey }";
    assert_eq!(faults(&texts_of_css(sheet)), [(2, "colour".to_owned())]);
}
