//! The small form of a trusted publisher, which differs between the systems that issue identity tokens.

use super::problems::Problems;
use crate::domain::publisher::{Condition, Expected, IssuerUrl, Provider, Trust};
use crate::registry::owners::publishers::{NewPublisher, Publisher};
use serde::Deserialize;
use std::fmt::Write as _;

/// The form that creates or changes a publisher, as typed. Each system's form has some of the fields.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct PublisherForm {
    name: String,
    packages: String,
    issuer: String,
    repository: String,
    repository_owner_id: String,
    workflow: String,
    project_path: String,
    /// Present if the box is ticked.
    pub(super) ref_protected: Option<String>,
    namespace: String,
    service_account: String,
    subject: String,
    /// One on each line, as `claim=value`.
    pub(super) conditions: String,
    environment: String,
}

impl PublisherForm {
    /// The empty form of a system.
    pub(super) fn of(provider: Provider) -> Self {
        let issuer = provider.shared_issuer().unwrap_or_default().to_owned();
        Self { issuer, ref_protected: Some("on".to_owned()), ..Self::default() }
    }

    /// The form of a publisher, and whether it lacks the publisher's conditions: the API takes more kinds of them than
    /// the form of a system has fields for.
    pub(super) fn of_publisher(publisher: &Publisher) -> (Self, bool) {
        let Trust { provider, issuer, conditions, environment } = &publisher.trust;
        let mut form = Self {
            name: publisher.name.to_string(),
            packages: publisher.packages.as_str().to_owned(),
            issuer: issuer.to_string(),
            environment: environment.clone().unwrap_or_default(),
            ..Self::default()
        };
        form.fill(*provider, conditions);
        let is_whole = form.conditions(*provider, &mut Problems::default()).as_ref() == Some(conditions);
        (form, !is_whole)
    }

    /// Fills in the fields that the conditions of a system's publisher come from.
    fn fill(&mut self, provider: Provider, conditions: &[Condition]) {
        for condition in conditions {
            let (Expected::Equals(value) | Expected::Glob(value)) = &condition.expected else { return };
            match (provider, &*condition.claim) {
                (Provider::Github | Provider::Forgejo | Provider::Gitea, "repository") => {
                    self.repository = value.clone();
                }
                (Provider::Github | Provider::Forgejo | Provider::Gitea, "repository_owner_id") => {
                    self.repository_owner_id = value.clone();
                }
                (Provider::Github | Provider::Forgejo | Provider::Gitea, "workflow_ref") => {
                    let file = value.strip_suffix("@*").and_then(|place| place.rsplit('/').next());
                    self.workflow = file.unwrap_or_default().to_owned();
                }
                (Provider::Gitlab, "project_path") => self.project_path = value.clone(),
                (Provider::Gitlab, "ref_protected") => self.ref_protected = Some("on".to_owned()),
                (Provider::Kubernetes, "sub") => {
                    let account = value.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                    let (namespace, account) = account.unwrap_or_default();
                    (self.namespace, self.service_account) = (namespace.to_owned(), account.to_owned());
                }
                (Provider::Other, "sub") if self.subject.is_empty() => self.subject = value.clone(),
                (Provider::Other, claim) => {
                    let _ = writeln!(self.conditions, "{claim}={value}");
                }
                _ => return,
            }
        }
    }

    /// The publisher that the form describes. Its conditions are those of the form, or those that are `kept`.
    pub(super) fn read(
        &self,
        provider: Provider,
        kept: Option<Vec<Condition>>,
        problems: &mut Problems,
    ) -> Option<NewPublisher> {
        let name = problems.take("name", self.name.trim().parse());
        let packages = problems.take("packages", self.packages.trim().parse());
        let issuer: Option<IssuerUrl> = problems.take("issuer", self.issuer.trim().parse());
        let conditions = kept.or_else(|| self.conditions(provider, problems));
        let environment = Some(self.environment.trim().to_owned()).filter(|text| !text.is_empty());
        let trust = Trust { provider, issuer: issuer?, conditions: conditions?, environment };
        if let Err((field, problem)) = trust.check() {
            problems.add(field, &problem);
            return None;
        }
        Some(NewPublisher { name: name?, packages: packages?, trust })
    }

    fn conditions(&self, provider: Provider, problems: &mut Problems) -> Option<Vec<Condition>> {
        match provider {
            Provider::Github | Provider::Forgejo | Provider::Gitea => self.of_repository(provider, problems),
            Provider::Gitlab => {
                let path = problems.take("project_path", full_name(&self.project_path))?;
                let mut conditions = vec![Condition::like("project_path", path)];
                conditions.extend(self.ref_protected.as_ref().map(|_| Condition::equals("ref_protected", "true")));
                Some(conditions)
            }
            Provider::Kubernetes => {
                let namespace = problems.take("namespace", word(&self.namespace));
                let account = problems.take("service_account", word(&self.service_account));
                let subject = format!("system:serviceaccount:{}:{}", namespace?, account?);
                Some(vec![Condition::equals("sub", subject)])
            }
            Provider::Other => {
                let mut conditions = Vec::new();
                match self.subject.trim() {
                    "" => {}
                    subject => conditions.push(Condition::like("sub", subject)),
                }
                for line in self.conditions.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    let pair = line.split_once('=').ok_or("write each condition as claim=value");
                    let (claim, value) = problems.take("conditions", pair)?;
                    conditions.push(Condition::like(claim.trim(), value.trim()));
                }
                Some(conditions)
            }
        }
    }

    fn of_repository(&self, provider: Provider, problems: &mut Problems) -> Option<Vec<Condition>> {
        let repository = problems.take("repository", full_name(&self.repository))?;
        let mut conditions = vec![Condition::like("repository", repository)];
        match self.repository_owner_id.trim() {
            "" => {}
            id if id.bytes().all(|byte| byte.is_ascii_digit()) => {
                conditions.push(Condition::equals("repository_owner_id", id));
            }
            _ => problems.add("repository_owner_id", "use the number of the account"),
        }
        match self.workflow.trim() {
            "" => {}
            file => {
                let file = problems.take("workflow", workflow_file(file))?;
                let folder = if provider == Provider::Github { ".github" } else { ".*" };
                let place = format!("{repository}/{folder}/workflows/{file}@*");
                conditions.push(Condition::glob("workflow_ref", place));
            }
        }
        Some(conditions)
    }
}

/// The full name of a repository or project: its owner or group, and its own name, perhaps with `*`.
fn full_name(text: &str) -> Result<&str, &'static str> {
    let text = text.trim().trim_matches('/');
    let is_name = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    let is_full = text.contains('/') && !text.contains("://") && text.split('/').all(is_name) && !text.starts_with('*');
    if is_full { Ok(text) } else { Err("use the full name, such as acme/tool") }
}

/// A name in Kubernetes.
fn word(text: &str) -> Result<&str, &'static str> {
    let text = text.trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) { Ok(text) } else { Err("use letters, digits, - and .") }
}

/// The name of a workflow's file, without its folder.
fn workflow_file(text: &str) -> Result<&str, &'static str> {
    let is_plain = !text.contains(['/', '*', '@']) && !text.contains(char::is_whitespace);
    let is_yaml = text.ends_with(".yml") || text.ends_with(".yaml");
    if is_plain && is_yaml { Ok(text) } else { Err("use the name of the file, such as release.yml") }
}

/// A field of the form.
pub(super) struct Field<'a> {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) value: &'a str,
    pub(super) required: bool,
}

impl PublisherForm {
    /// The fields in which a text is typed.
    pub(super) fn fields(&self, provider: Provider) -> Vec<Field<'_>> {
        let form = self;
        let field = |name, label, hint, value| Field { name, label, hint, value, required: true };
        let optional = |name, label, hint, value| Field { required: false, ..field(name, label, hint, value) };
        let mut all = vec![
            field("name", "Name", "Shown as the publisher of the files, such as release.", &*form.name),
            field(
                "packages",
                "Packages",
                "Use * as a wildcard, as in firmware-*. They need not exist yet.",
                &form.packages,
            ),
        ];
        let issuer = |hint| field("issuer", "Issuer", hint, &form.issuer);
        let environment = |hint| optional("environment", "Environment", hint, &form.environment);
        match provider {
            Provider::Github | Provider::Forgejo | Provider::Gitea => {
                let hint = match provider {
                    Provider::Github => "Change it only for GitHub Enterprise Server.",
                    _ => "The address of the server followed by /api/actions.",
                };
                all.extend([
                    issuer(hint),
                    field("repository", "Repository", "For example, acme/tool.", &form.repository),
                    optional(
                        "repository_owner_id",
                        "ID of the repository's owner",
                        "A number that stays the same if somebody else gets the owner's name.",
                        &form.repository_owner_id,
                    ),
                    optional("workflow", "Workflow file", "For example, release.yml.", &form.workflow),
                    environment("Only jobs in this environment can publish."),
                ]);
            }
            Provider::Gitlab => all.extend([
                issuer("The address of the GitLab server."),
                field("project_path", "Project", "For example, acme/tools/cli.", &form.project_path),
                environment("Only jobs in this environment can publish."),
            ]),
            Provider::Kubernetes => {
                all.extend([
                    issuer("The issuer of the cluster's service account tokens."),
                    field("namespace", "Namespace", "For example, builds.", &form.namespace),
                    field("service_account", "Service account", "For example, publisher.", &form.service_account),
                ]);
                // Its tokens have none, so only the API sets one.
                if !form.environment.is_empty() {
                    all.push(environment("The claim environment."));
                }
            }
            Provider::Other => all.extend([
                issuer("The claim iss of its identity tokens, exactly."),
                optional("subject", "Subject", "The claim sub. Use * as a wildcard.", &form.subject),
                environment("The claim environment."),
            ]),
        }
        all
    }

    /// As [`Self::fields`], without those for conditions.
    pub(super) fn other_fields(&self, provider: Provider) -> Vec<Field<'_>> {
        let all = self.fields(provider).into_iter();
        all.filter(|field| ["name", "packages", "issuer", "environment"].contains(&field.name)).collect()
    }
}
