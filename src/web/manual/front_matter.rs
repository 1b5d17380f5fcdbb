//! The front matter of a page of the manual: its title, its weight and its old addresses.

/// The front matter of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontMatter {
    pub title: String,
    /// Pages of a folder are sorted by weight, the lightest first.
    pub weight: i32,
    /// Other paths that lead to the page.
    pub aliases: Vec<String>,
}

/// Splits a text into its front matter and the rest. It understands only `key: value` and lists of strings, which is
/// all the manual needs of YAML.
///
/// # Errors
/// A message for people, if something is missing or cannot be parsed.
pub fn split(text: &str) -> Result<(FrontMatter, &str), String> {
    let opened = text.strip_prefix("---\n").ok_or("the file has no front matter")?;
    let (head, body) = opened.split_once("\n---\n").ok_or("the front matter does not end")?;
    let (mut title, mut weight, mut aliases, mut in_list) = (None, None, Vec::new(), false);
    for line in head.lines() {
        match line.split_once(':').map(|(key, value)| (key, value.trim())) {
            _ if in_list && line.starts_with("  - ") => aliases.extend(line.strip_prefix("  - ").map(str::to_owned)),
            Some(("title", value)) if !value.is_empty() => title = Some(value.to_owned()),
            Some(("weight", value)) => {
                weight = Some(value.parse().map_err(|_| format!("the weight {value:?} is not a number"))?)
            }
            Some(("aliases", "")) => in_list = true,
            _ => return Err(format!("the front matter has an unknown line {line:?}")),
        }
    }
    let title = title.ok_or("the front matter has no title")?;
    let weight = weight.ok_or("the front matter has no weight")?;
    match aliases.iter().find(|alias| !(alias.starts_with("/docs/") && alias.ends_with('/'))) {
        Some(alias) => Err(format!("the alias {alias:?} is not of the form /docs/…/")),
        None => Ok((FrontMatter { title, weight, aliases }, body)),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn front_matter_has_title_weight_and_aliases_other_keys_are_named() {
        let (front_matter, body) =
            split("---\ntitle: A: b\nweight: 5\naliases:\n  - /docs/x/\n  - /docs/y/z/\n---\n\n# A\n").unwrap();
        assert_eq!((front_matter.title.as_str(), front_matter.weight, body), ("A: b", 5, "\n# A\n"));
        assert_eq!(front_matter.aliases, ["/docs/x/", "/docs/y/z/"]);
        for (text, problem) in [
            ("# A\n", "no front matter"),
            ("---\ntitle: A\n", "does not end"),
            ("---\ntitle: A\n---\n", "no weight"),
            ("---\nweight: 5\n---\n", "no title"),
            ("---\ntitle: A\nweight: x\n---\n", "is not a number"),
            ("---\ntitle: A\nweight: 1\ndraft: true\n---\n", "draft"),
            ("---\ntitle: A\nweight: 1\naliases:\n  - /docs/x\n---\n", "/docs/x"),
            ("---\ntitle: A\nweight: 1\naliases:\n  - /elsewhere/\n---\n", "/elsewhere/"),
        ] {
            assert!(split(text).unwrap_err().contains(problem), "{text}");
        }
    }
}
