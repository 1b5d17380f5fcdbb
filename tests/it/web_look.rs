//! The look of the pages, as far as it can be computed: contrast in light and dark, icons, and what the style sheet uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned();
            found.extend(files(&below, endings));
        } else if path.extension().is_some_and(|ending| endings.contains(&ending.to_str().unwrap())) {
            found.push(path);
        }
    }
    found
}

type Colors = BTreeMap<String, String>;

/// The variables of the first block after a selector.
fn variables(css: &str, selector: &str) -> Colors {
    let (_, after) = css.split_once(selector).unwrap_or_else(|| panic!("{selector} is there"));
    let block = after.split_once('}').unwrap().0;
    let lines = block.split(';').filter_map(|line| line.split_once(':'));
    let named = lines.filter_map(|(name, value)| Some((name.split_once("--")?.1.trim(), value.trim())));
    named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Relative luminance (WCAG 2.2).
fn luminance(color: &str) -> f64 {
    let hex = color.strip_prefix('#').unwrap_or_else(|| panic!("{color} is no hexadecimal color"));
    let hex = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn contrast_is_computed_as_the_guidelines_do() {
    assert!((contrast("#000", "#ffffff") - 21.0).abs() < 0.001);
    assert!((contrast("#777777", "#ffffff") - 4.478).abs() < 0.001);
}

#[test]
fn every_text_stands_out_from_its_ground_in_light_and_dark() {
    let css = source("static/app.css");
    let themes = [(":root {", "light"), (":root[data-theme=\"dark\"] {", "dark")];
    let mut faint = Vec::new();
    for (selector, theme) in themes {
        let colors = variables(&css, selector);
        // Text 4.5 to 1, borders of what one acts on and marks of focus 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11).
        let grounds = ["bg", "bg-raised", "bg-sunken"];
        let mut pairs: Vec<(&str, &str, f64)> = Vec::new();
        for ground in grounds {
            pairs.extend(["text", "text-soft", "accent", "good", "bad", "warn"].map(|text| (text, ground, 4.5)));
            pairs.push(("line-strong", ground, 3.0));
        }
        for kind in ["accent", "good", "bad", "warn"] {
            let soft: &str = match kind {
                "accent" => "accent-soft",
                "good" => "good-soft",
                "bad" => "bad-soft",
                _ => "warn-soft",
            };
            pairs.extend([("text", soft, 4.5), ("text-soft", soft, 4.5), (kind, soft, 4.5), ("accent", soft, 4.5)]);
        }
        pairs.push(("on-accent", "accent", 4.5));
        for (text, ground, least) in pairs {
            let found = contrast(&colors[text], &colors[ground]);
            if found < least {
                faint.push(format!("{theme}: --{text} on --{ground} has {found:.2} instead of {least}"));
            }
        }
    }
    assert!(faint.is_empty(), "{}", faint.join("\n"));
}

#[test]
fn dark_by_choice_and_dark_by_the_system_are_the_same() {
    let css = source("static/app.css");
    let chosen = variables(&css, ":root[data-theme=\"dark\"] {");
    assert_eq!(chosen, variables(&css, ":root[data-theme=\"system\"] {"));
    let light = variables(&css, ":root {");
    for name in chosen.keys() {
        assert!(light.contains_key(name), "--{name} has a light value");
    }
}

#[test]
fn colors_outside_variables_are_backgrounds_of_white_text_in_both_themes() {
    let css = source("static/app.css");
    for line in css.lines().filter(|line| !line.trim_start().starts_with("--")) {
        let colors = line.split('#').skip(1).filter_map(|rest| {
            let hex: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
            (hex.len() == 3 || hex.len() == 6).then_some(format!("#{hex}"))
        });
        for color in colors {
            let is_white = color == "#fff" || color == "#ffffff";
            assert!(is_white || contrast("#fff", &color) >= 4.5, "{color} in {line}");
        }
    }
}

#[test]
fn variables_of_the_style_sheet_are_defined_and_used() {
    let css = source("static/app.css");
    let mut defined: BTreeSet<String> = variables(&css, ":root {").into_keys().collect();
    let used: BTreeSet<String> =
        css.split("var(--").skip(1).map(|rest| rest.split([')', ',']).next().unwrap().trim().to_owned()).collect();
    let unknown: Vec<_> = used.difference(&defined).filter(|name| !css.contains(&format!("--{name}:"))).collect();
    assert!(unknown.is_empty(), "not defined: {unknown:?}");
    defined.retain(|name| !used.contains(name));
    assert!(defined.is_empty(), "not used: {defined:?}");
}

/// The names of the icons in the set.
fn icons() -> BTreeSet<String> {
    let set = source("static/icons.svg");
    let names = set.split("<symbol id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    names.collect()
}

#[test]
fn every_icon_that_a_template_names_is_in_the_set_and_none_is_there_for_nothing() {
    let known = icons();
    let mut texts = Vec::new();
    for path in
        files("templates", &["html"]).into_iter().chain(files("src/web", &["rs"])).chain(files("static", &["js"]))
    {
        texts.push((path.clone(), fs::read_to_string(&path).unwrap()));
    }
    let mut missing = Vec::new();
    for (path, text) in &texts {
        for opening in ["frame.icon(\"", "icon(frame, \""] {
            for rest in text.split(opening).skip(1) {
                let name = rest.split('"').next().unwrap();
                if !known.contains(name) {
                    missing.push(format!("{name} in {}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "icons that are not in static/icons.svg: {missing:?}");
    let unused: Vec<_> =
        known.iter().filter(|name| !texts.iter().any(|(_, text)| text.contains(&format!("\"{name}\"")))).collect();
    assert!(unused.is_empty(), "icons that nothing shows: {unused:?}");
}

#[test]
fn the_icons_have_their_license_beside_them() {
    let license = source("static/licenses/lucide.txt");
    assert!(license.contains("ISC") && license.contains("Lucide"), "{license}");
}

#[test]
fn every_class_of_the_style_sheet_is_on_some_page() {
    let css = source("static/app.css");
    let mut texts = String::new();
    for path in files("templates", &["html"]).into_iter().chain(files("src", &["rs"])).chain(files("static", &["js"])) {
        texts.push_str(&fs::read_to_string(&path).unwrap());
    }
    let words: BTreeSet<&str> = texts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).collect();
    let mut unused = BTreeSet::new();
    // Selectors alone: what stands in a block has colons.
    for part in css.split(['{', '}']).filter(|part| !part.contains(": ") && !part.contains("/*")) {
        for class in part.split('.').skip(1) {
            let name: String =
                class.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
            // A template may put a number behind a word.
            let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let known = words.contains(name.as_str()) || word != name && words.contains(word);
            if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !known {
                unused.insert(name);
            }
        }
    }
    assert!(unused.is_empty(), "classes that nothing has: {unused:?}");
}
