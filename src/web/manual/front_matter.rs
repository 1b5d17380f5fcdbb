//! What stands before a page of the manual: its title, its weight, and the addresses it had before.

/// The front matter of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontMatter {
    pub title: String,
    /// The lighter page of a folder stands before the heavier.
    pub weight: i32,
    /// Paths that lead to the page, too.
    pub aliases: Vec<String>,
}

/// Takes a text apart into its front matter and what follows. Of YAML it knows `key: value` and lists of texts, which is
/// all that the manual needs.
///
/// # Errors
/// What is missing or not understood, for a person.
pub fn split(text: &str) -> Result<(FrontMatter, &str), String> {
    let opened = text.strip_prefix("---\n").ok_or("it begins without front matter")?;
    let (head, body) = opened.split_once("\n---\n").ok_or("its front matter does not end")?;
    let (mut title, mut weight, mut aliases, mut in_list) = (None, None, Vec::new(), false);
    for line in head.lines() {
        match line.split_once(':').map(|(key, value)| (key, value.trim())) {
            _ if in_list && line.starts_with("  - ") => aliases.extend(line.strip_prefix("  - ").map(str::to_owned)),
            Some(("title", value)) if !value.is_empty() => title = Some(value.to_owned()),
            Some(("weight", value)) => weight = Some(value.parse().map_err(|_| format!("its weight is {value:?}"))?),
            Some(("aliases", "")) => in_list = true,
            _ => return Err(format!("its front matter says {line:?}")),
        }
    }
    let title = title.ok_or("its front matter has no title")?;
    let weight = weight.ok_or("its front matter has no weight")?;
    match aliases.iter().find(|alias| !(alias.starts_with("/docs/") && alias.ends_with('/'))) {
        Some(alias) => Err(format!("its alias {alias:?} is not /docs/…/")),
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
            ("# A\n", "begins without"),
            ("---\ntitle: A\n", "does not end"),
            ("---\ntitle: A\n---\n", "no weight"),
            ("---\nweight: 5\n---\n", "no title"),
            ("---\ntitle: A\nweight: x\n---\n", "weight is"),
            ("---\ntitle: A\nweight: 1\ndraft: true\n---\n", "draft"),
            ("---\ntitle: A\nweight: 1\naliases:\n  - /docs/x\n---\n", "/docs/x"),
            ("---\ntitle: A\nweight: 1\naliases:\n  - /elsewhere/\n---\n", "/elsewhere/"),
        ] {
            assert!(split(text).unwrap_err().contains(problem), "{text}");
        }
    }
}
