//! *Use it in…*: what to write into the files of other programs, so that they download a file and check it. The texts
//! say what the pages of `docs/usage/clients` say.

use super::quote::sh;
use crate::domain::address;
use crate::domain::digest::Sha256;
use crate::domain::names::FileName;
use crate::domain::path::{VersionPath, escape};
use crate::domain::platform::{Arch, Os};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The systems that mise has its own words for.
pub const MISE: &[(&str, Os, Arch)] = &[
    ("linux-x64", Os::Linux, Arch::X86_64),
    ("linux-arm64", Os::Linux, Arch::Arm64),
    ("macos-x64", Os::MacOs, Arch::X86_64),
    ("macos-arm64", Os::MacOs, Arch::Arm64),
    ("windows-x64", Os::Windows, Arch::X86_64),
];

/// A text for one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The end of its ids in the page.
    pub id: &'static str,
    pub program: &'static str,
    /// The file that it belongs in.
    pub place: &'static str,
    pub text: String,
    /// Its page of the manual.
    pub manual: &'static str,
}

/// A file with its digest.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: FileName,
    pub sha256: Sha256,
}

/// What the texts are about.
pub struct Subject<'a> {
    /// The address of the site.
    pub root: &'a str,
    pub path: &'a VersionPath,
    pub file: Source,
    /// Files for systems that mise knows, by its words for them.
    pub mise: Vec<(&'static str, Source)>,
    /// Whether downloading needs a token.
    pub token: bool,
}

/// A digest in the form of *subresource integrity*.
pub fn sri(sha256: &Sha256) -> String {
    format!("sha256-{}", STANDARD.encode(sha256.as_bytes()))
}

impl Subject<'_> {
    /// The texts for all programs.
    pub fn recipes(&self) -> Vec<Recipe> {
        let recipe = |id, program, place, text, manual| Recipe { id, program, place, text, manual };
        vec![
            recipe("mise", "mise", "mise.toml", self.mise(), "/docs/usage/clients/mise/"),
            recipe("renovate", "Renovate", "renovate.json", self.renovate(), "/docs/usage/clients/renovate/"),
            recipe("bazel", "Bazel", "MODULE.bazel", self.bazel(), "/docs/usage/clients/bazel/"),
            recipe("nix", "Nix", "default.nix", self.nix(), "/docs/usage/clients/nix/"),
            recipe("cmake", "CMake", "CMakeLists.txt", self.cmake(), "/docs/usage/clients/cmake/"),
            recipe("ansible", "Ansible", "playbook.yml", self.ansible(), "/docs/usage/clients/ansible/"),
            recipe("docker", "Dockerfile", "Dockerfile", self.docker(), "/docs/usage/clients/docker/"),
            recipe("github", "GitHub Actions", ".github/workflows", self.github(), "/docs/usage/clients/ci/"),
            recipe("gitlab", "GitLab CI", ".gitlab-ci.yml", self.gitlab(), "/docs/usage/clients/ci/"),
        ]
    }

    fn url_of(&self, file: &FileName) -> String {
        format!("{}{}", self.root, address::generic_file(&self.path.with_file(file.clone())))
    }

    fn url(&self) -> String {
        self.url_of(&self.file.name)
    }

    /// The name to save the file under, without a character that any of the programs gives a meaning.
    fn saved_as(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
        let name: String = self.file.name.last_segment().chars().map(plain).collect();
        if name.starts_with(['-', '.']) { format!("file{name}") } else { name }
    }

    /// The name of the package as a word of other languages.
    fn word(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        let word: String = self.path.package.as_str().chars().map(plain).collect();
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) { word } else { format!("pkg_{word}") }
    }

    fn is_archive(&self) -> bool {
        let lower = self.file.name.lower();
        [".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".zip"].iter().any(|ending| lower.ends_with(ending))
    }

    fn mise(&self) -> String {
        let (version, word) = (quoted(self.path.version.as_str()), self.word());
        let list = format!("{}{}", self.root, address::generic_package(&self.path.in_package()));
        let mut text = format!("[tools.\"http:{word}\"]\nversion = {version}\nversion_list_url = \"{list}\"\n");
        let lines = |file: &Source| {
            let url = self.with_placeholder(&self.url_of(&file.name));
            format!("url = \"{url}\"\nchecksum = \"sha256:{}\"\n", file.sha256)
        };
        if self.mise.is_empty() {
            text.push_str(&lines(&self.file));
        }
        for (system, file) in &self.mise {
            text.push_str(&format!("\n[tools.\"http:{word}\".platforms.{system}]\n"));
            text.push_str(&lines(file));
        }
        text
    }

    /// An address with mise's placeholder for the version, where it is clear what the version is.
    fn with_placeholder(&self, url: &str) -> String {
        let version = self.path.version.as_str();
        let segment = ["/", &escape(version).to_string(), "/"].concat();
        let Some((before, after)) = url.split_once(&segment) else { return url.to_owned() };
        let is_plain = version.len() >= 3 && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
        if !is_plain {
            return url.to_owned();
        }
        format!("{before}/{{{{ version }}}}/{}", after.replace(version, "{{ version }}"))
    }

    fn renovate(&self) -> String {
        let example = include_str!("../../docs/usage/clients/renovate.md");
        let json = example.split_once("```json\n").and_then(|(_, rest)| rest.split_once("\n```"));
        let json = json.map_or("", |(json, _)| json);
        // The manual's own example, with this site in the place of its server.
        let pattern = quoted(&regex::escape(self.root));
        let pattern = pattern.trim_matches('"');
        let json = json.replace(r"https://packages\\.example\\.org", pattern);
        json.replace("https://packages.example.org", self.root)
    }

    fn bazel(&self) -> String {
        let (word, url) = (self.word(), self.url());
        if self.is_archive() {
            let integrity = sri(&self.file.sha256);
            return format!(
                "http_archive = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")\n\n\
                 http_archive(\n    name = \"{word}\",\n    urls = [\"{url}\"],\n    integrity = \"{integrity}\",\n)\n"
            );
        }
        format!(
            "http_file = use_repo_rule(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_file\")\n\n\
             http_file(\n    name = \"{word}\",\n    urls = [\"{url}\"],\n    sha256 = \"{}\",\n    \
             downloaded_file_path = \"{}\",\n)\n",
            self.file.sha256,
            self.saved_as()
        )
    }

    fn nix(&self) -> String {
        let hash = sri(&self.file.sha256);
        // The store accepts no other characters in a name, which is the end of the address if it isn't given.
        let name = match self.saved_as() {
            name if name == self.file.name.last_segment() => String::new(),
            name => format!("  name = \"{name}\";\n"),
        };
        format!("src = pkgs.fetchurl {{\n{name}  url = \"{}\";\n  hash = \"{hash}\";\n}};\n", self.url())
    }

    fn cmake(&self) -> String {
        let (word, url, sha256) = (self.word(), self.url(), self.file.sha256);
        if self.is_archive() {
            let header = match self.token {
                true => "\n  HTTP_HEADER \"Authorization: Bearer $ENV{PACKHOUSE_TOKEN}\"",
                false => "",
            };
            return format!(
                "include(FetchContent)\nFetchContent_Declare({word}\n  URL {url}\n  URL_HASH SHA256={sha256}{header}\n  \
                 DOWNLOAD_EXTRACT_TIMESTAMP ON)\nFetchContent_MakeAvailable({word})\n"
            );
        }
        let header = match self.token {
            true => "\n  HTTPHEADER \"Authorization: Bearer $ENV{PACKHOUSE_TOKEN}\"",
            false => "",
        };
        let name = self.saved_as();
        format!("file(DOWNLOAD {url} ${{CMAKE_BINARY_DIR}}/{name}\n  EXPECTED_HASH SHA256={sha256}{header})\n")
    }

    fn ansible(&self) -> String {
        let (url, name, sha256) = (self.url(), self.saved_as(), self.file.sha256);
        let headers = match self.token {
            true => {
                "\n    headers:\n      Authorization: \"Bearer {{ lookup('ansible.builtin.env', 'PACKHOUSE_TOKEN') }}\""
            }
            false => "",
        };
        format!(
            "- name: Download {name}\n  ansible.builtin.get_url:\n    url: \"{url}\"\n    \
             checksum: \"sha256:{sha256}\"\n    dest: /usr/local/src/{name}\n    mode: \"0644\"{headers}\n"
        )
    }

    fn docker(&self) -> String {
        let (url, name, sha256) = (self.url(), self.saved_as(), self.file.sha256);
        if !self.token {
            return format!("ADD --checksum=sha256:{sha256} {url} /usr/local/src/{name}\n");
        }
        // ADD sends no header.
        format!(
            "RUN --mount=type=secret,id=PACKHOUSE_TOKEN,env=PACKHOUSE_TOKEN \\\n    \
             curl -fL -H \"Authorization: Bearer $PACKHOUSE_TOKEN\" -o /usr/local/src/{name} {} \\\n    \
             && echo '{sha256}  /usr/local/src/{name}' | sha256sum -c -\n",
            sh(&url)
        )
    }

    /// The lines of a shell that download the file and check it.
    fn shell(&self, indent: &str) -> String {
        let header = if self.token { " -H \"Authorization: Bearer $PACKHOUSE_TOKEN\"" } else { "" };
        let (url, name, sha256) = (sh(&self.url()), self.saved_as(), self.file.sha256);
        format!(
            "{indent}curl -fL --retry 5{header} -o {name} {url}\n{indent}echo '{sha256}  {name}' | sha256sum -c -\n"
        )
    }

    fn github(&self) -> String {
        let secret = match self.token {
            true => "  env:\n    PACKHOUSE_TOKEN: ${{ secrets.PACKHOUSE_TOKEN }}\n",
            false => "",
        };
        format!("- name: Download {}\n{secret}  run: |\n{}", self.saved_as(), self.shell("    "))
    }

    fn gitlab(&self) -> String {
        format!("before_script:\n  - |\n{}", self.shell("    "))
    }
}

/// A text in double quotes, as JSON, TOML, YAML and Starlark read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts for the example of the manual.
    fn recipes(package: &str, version: &str, file: &str, token: bool) -> Vec<Recipe> {
        let path = VersionPath {
            owner: "ada".parse().unwrap(),
            package: package.parse().unwrap(),
            version: version.parse().unwrap(),
        };
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let source = Source { name: file.parse().unwrap(), sha256: hex.parse().unwrap() };
        let mise = vec![("linux-x64", source.clone())];
        let root = "https://packages.example.org";
        Subject { root, path: &path, file: source, mise, token }.recipes()
    }

    fn page(recipe: &Recipe) -> String {
        let name = recipe.manual.trim_end_matches('/').rsplit('/').next().unwrap();
        let path = format!("{}/docs/usage/clients/{name}.md", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    /// The lines of a text that its page of the manual does not have.
    fn unknown(recipe: &Recipe) -> Vec<String> {
        // The manual writes the address of an owner's packages once.
        let page = page(recipe).replace("${packages}", "https://packages.example.org/api/packages/ada/generic");
        let known: Vec<&str> = page.lines().map(|line| line.trim().trim_end_matches(')')).collect();
        let lines = recipe.text.lines().map(|line| line.trim().trim_end_matches(')')).filter(|line| !line.is_empty());
        lines.filter(|line| !known.contains(line)).map(|line| format!("{}: {line}", recipe.program)).collect()
    }

    #[test]
    fn texts_are_those_of_the_manual() {
        let mut wrong = Vec::new();
        for (package, version, file, programs) in [
            ("tool", "1.4.2", "tool-linux-x64.tar.gz", &["mise", "Renovate"][..]),
            ("greeter", "1.0.0", "greeter-1.0.0.tar.gz", &["Bazel", "Nix", "CMake"]),
            ("tool", "1.4.2", "tool-linux-amd64.tar.gz", &["Dockerfile"]),
        ] {
            let all = recipes(package, version, file, false);
            wrong.extend(all.iter().filter(|recipe| programs.contains(&recipe.program)).flat_map(unknown));
        }
        for (file, programs) in
            [("tool-linux-amd64.tar.gz", &["Dockerfile"][..]), ("tool-linux-amd64", &["GitHub Actions", "GitLab CI"])]
        {
            let all = recipes("tool", "1.4.2", file, true);
            wrong.extend(all.iter().filter(|recipe| programs.contains(&recipe.program)).flat_map(unknown));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn no_name_means_anything_in_another_language() {
        for recipe in recipes("c++", "1/0 ü", "a ${{ x }} {{ y }} $(id).bin", true) {
            for part in ["${{ x", "{{ y", "$(id)"] {
                assert!(!recipe.text.contains(part), "{}: {}", recipe.program, recipe.text);
            }
        }
    }
}
