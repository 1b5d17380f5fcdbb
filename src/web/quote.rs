//! Quotes text for command lines, so that pasted commands work whatever the name of a file.

/// A word for a POSIX shell: unchanged if no shell gives any character a special meaning, else in single quotes.
pub fn sh(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A file in the current directory for a POSIX shell, never mistaken for an option or for standard input.
pub fn sh_file(name: &str) -> String {
    sh(&beside(name))
}

/// A string for PowerShell in which nothing is expanded. PowerShell treats curly quotes as straight ones.
pub fn powershell(text: &str) -> String {
    let doubled = text.chars().flat_map(|c| {
        let quote = matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}');
        std::iter::repeat_n(c, if quote { 2 } else { 1 })
    });
    format!("'{}'", doubled.collect::<String>())
}

/// A file in the current directory for PowerShell.
pub fn powershell_file(name: &str) -> String {
    powershell(&beside(name))
}

fn beside(name: &str) -> String {
    if name.starts_with('-') { format!("./{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// The words that a shell reads from a line.
    fn words(line: &str) -> String {
        let script = format!("set -u; show() {{ for word; do printf '<%s>' \"$word\"; done; }}; show {line}");
        let done = Command::new("sh").arg("-c").arg(script).current_dir("/").output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    #[test]
    fn plain_words_are_not_quoted() {
        for word in ["tool-1.0.tar.gz", "http://127.0.0.1:3000/api/packages/ada/generic/a%20b", "a_b+c"] {
            assert_eq!(sh(word), word);
        }
        assert_eq!(powershell("tool.zip"), "'tool.zip'");
    }

    #[test]
    fn words_with_a_meaning_for_the_shell_are_quoted() {
        for (word, quoted) in [
            ("$(id)", "'$(id)'"),
            ("a;b", "'a;b'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("-rf", "'-rf'"),
            ("~root", "'~root'"),
            ("*", "'*'"),
            ("#x", "'#x'"),
            ("a&b", "'a&b'"),
            ("=ls", "'=ls'"),
            ("{a,b}", "'{a,b}'"),
            ("!!", "'!!'"),
            ("http://[::1]:3000/", "'http://[::1]:3000/'"),
        ] {
            assert_eq!(sh(word), quoted);
        }
        assert_eq!((sh_file("-rf"), sh_file("-")), ("./-rf".to_owned(), "./-".to_owned()));
        assert_eq!(powershell("$(id) `n"), "'$(id) `n'");
        assert_eq!(powershell("it's"), "'it''s'");
        assert_eq!(powershell("it\u{2019}s"), "'it\u{2019}\u{2019}s'");
        assert_eq!(powershell_file("-rf"), "'./-rf'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_a_quoted_word_back_unchanged(text in "[ -~äß\n]{0,20}") {
            prop_assert_eq!(words(&sh(&text)), format!("<{text}>"));
        }
    }
}
