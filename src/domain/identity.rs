//! The verified identity of a job that published something: what its identity token said.

use super::publisher::{Claims, Provider, text_of};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most characters of each of its texts.
const MAX_CHARS: usize = 255;

/// The verified identity of a job: the claims of its identity token that say where its files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifiedIdentity {
    pub provider: Provider,
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `sub`.
    pub subject: String,
    /// The repository or project, such as `acme/tool`.
    pub repository: Option<String>,
    /// The branch or tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The commit, in hexadecimal.
    pub commit: Option<String>,
    /// The deployment environment.
    pub environment: Option<String>,
    /// The number of the run or pipeline.
    pub run: Option<String>,
    pub repository_url: Option<String>,
    pub commit_url: Option<String>,
    pub run_url: Option<String>,
}

/// A text that can be shown: without control characters, and not too long.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MAX_CHARS).collect()
}

/// Whether a text can be in the path of an address as it is.
fn is_path(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    !text.is_empty() && text.bytes().all(fits) && !text.split('/').any(|part| matches!(part, "" | "." | ".."))
}

impl VerifiedIdentity {
    /// The identity in the verified claims of a token.
    pub fn of(provider: Provider, issuer: &str, claims: &Claims) -> Self {
        let text = |claim: &str| text_of(claims, claim).map(|text| clean(&text)).filter(|text| !text.is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| text(name));
        let pod = || claims.get("kubernetes.io")?.get("pod")?.get("name")?.as_str().map(clean);
        let identity = Self {
            provider,
            issuer: clean(issuer),
            subject: text("sub").unwrap_or_default(),
            repository: first(&["repository", "project_path"]),
            reference: text("ref"),
            commit: first(&["sha", "commit_sha"]).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit())),
            environment: text("environment"),
            run: match provider {
                Provider::Gitlab => text("pipeline_id"),
                Provider::Kubernetes => pod(),
                _ => first(&["run_number", "run_id"]),
            },
            repository_url: None,
            commit_url: None,
            run_url: None,
        };
        identity.with_links(text("run_id"))
    }

    /// The addresses of the repository and what is in it, if the system has such pages.
    fn with_links(self, run_id: Option<String>) -> Self {
        let Some(site) = self.site() else { return self };
        let Some(repository) = self.repository.as_deref().filter(|text| is_path(text)) else { return self };
        let repository = format!("{site}/{repository}");
        let dash = if self.provider == Provider::Gitlab { "/-" } else { "" };
        let commit_url = self.commit.as_ref().map(|commit| format!("{repository}{dash}/commit/{commit}"));
        // GitHub's pages name a run by its id, the others by its number.
        let run = if self.provider == Provider::Github { run_id } else { self.run.clone() };
        let run = run.filter(|run| run.bytes().all(|byte| byte.is_ascii_digit()));
        let runs = if self.provider == Provider::Gitlab { "/-/pipelines" } else { "/actions/runs" };
        let run_url = run.map(|run| format!("{repository}{runs}/{run}"));
        Self { repository_url: Some(repository), commit_url, run_url, ..self }
    }

    /// The address of the system's pages, without a slash at the end.
    fn site(&self) -> Option<String> {
        let issuer = self.issuer.trim_end_matches('/');
        match self.provider {
            Provider::Github if Some(issuer) == Provider::Github.shared_issuer() => {
                Some("https://github.com".to_owned())
            }
            // GitHub Enterprise Server.
            Provider::Github => issuer.strip_suffix("/_services/token").map(str::to_owned),
            Provider::Gitlab => Some(issuer.to_owned()),
            Provider::Forgejo | Provider::Gitea => {
                Some(issuer.strip_suffix("/api/actions").unwrap_or(issuer).to_owned())
            }
            Provider::Kubernetes | Provider::Other => None,
        }
    }

    /// The name of the system.
    pub fn system(&self) -> &str {
        match self.provider {
            Provider::Other => self.issuer.split_once("://").map_or(&self.issuer, |(_, rest)| rest),
            known => known.title(),
        }
    }

    /// The repository, or else the subject.
    pub fn source(&self) -> &str {
        self.repository.as_deref().unwrap_or(&self.subject)
    }

    /// The branch or tag without the beginning that says which of the two it is.
    pub fn short_ref(&self) -> Option<&str> {
        let text = self.reference.as_deref()?;
        Some(text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/tags/")).unwrap_or(text))
    }

    /// The identity in a line: `GitHub Actions · acme/tool @ v1.2 · run 123`.
    pub fn summary(&self) -> String {
        let reference = self.short_ref().map(|text| format!(" @ {text}")).unwrap_or_default();
        let run = self.run.as_ref().map(|run| format!(" · run {run}")).unwrap_or_default();
        format!("{} · {}{reference}{run}", self.system(), self.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(provider: Provider, issuer: &str, claims: Value) -> VerifiedIdentity {
        VerifiedIdentity::of(provider, issuer, claims.as_object().unwrap())
    }

    #[test]
    fn identities_read_alike_for_all_systems() {
        let github = of(
            Provider::Github,
            "https://token.actions.githubusercontent.com",
            json!({"sub": "repo:acme/tool:ref:refs/tags/v1.2", "repository": "acme/tool", "ref": "refs/tags/v1.2",
                   "sha": "0123abcd", "run_id": "987", "run_number": "123", "environment": "release"}),
        );
        assert_eq!(github.summary(), "GitHub Actions · acme/tool @ v1.2 · run 123");
        assert_eq!(github.run_url.as_deref(), Some("https://github.com/acme/tool/actions/runs/987"));
        assert_eq!(github.commit_url.as_deref(), Some("https://github.com/acme/tool/commit/0123abcd"));
        let gitlab = of(
            Provider::Gitlab,
            "https://gitlab.example.org",
            json!({"sub": "project_path:a/b/c", "project_path": "a/b/c", "ref": "main", "sha": "ab", "pipeline_id": "7"}),
        );
        assert_eq!(gitlab.summary(), "GitLab CI · a/b/c @ main · run 7");
        assert_eq!(gitlab.run_url.as_deref(), Some("https://gitlab.example.org/a/b/c/-/pipelines/7"));
        let forgejo = of(
            Provider::Forgejo,
            "https://git.example.org/api/actions",
            json!({"repository": "a/b", "ref": "refs/heads/x/y", "run_id": "9", "run_number": "4"}),
        );
        assert_eq!(forgejo.summary(), "Forgejo Actions · a/b @ x/y · run 4");
        assert_eq!(forgejo.run_url.as_deref(), Some("https://git.example.org/a/b/actions/runs/4"));
        let pod = json!({"sub": "system:serviceaccount:ns:sa", "kubernetes.io": {"pod": {"name": "build-1"}}});
        let kubernetes = of(Provider::Kubernetes, "https://k8s.example.org", pod);
        assert_eq!(kubernetes.summary(), "Kubernetes · system:serviceaccount:ns:sa · run build-1");
        assert_eq!(kubernetes.repository_url, None);
        let other = of(Provider::Other, "https://ci.example.org/x", json!({"sub": "job"}));
        assert_eq!(other.summary(), "ci.example.org/x · job");
    }

    #[test]
    fn hostile_claims_make_no_links_and_no_odd_texts() {
        for repository in ["../../evil", "a//b", "a/b?c", "a b", "a/./b"] {
            let claims = json!({"repository": repository, "run_id": "1/../2", "sha": "zz", "ref": "a\nb"});
            let identity = of(Provider::Github, "https://token.actions.githubusercontent.com", claims);
            assert_eq!((identity.repository_url, identity.run_url, identity.commit), (None, None, None));
            assert_eq!(identity.reference.as_deref(), Some("a\u{fffd}b"));
        }
        let long = of(Provider::Other, "https://a", json!({"sub": "ü".repeat(1000)}));
        assert_eq!(long.subject.chars().count(), MAX_CHARS);
    }
}
