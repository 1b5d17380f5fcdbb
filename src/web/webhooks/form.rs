//! The form that creates or changes a webhook.

use crate::domain::webhook::{HookContent, HookKind, HookUrl};
use crate::registry::webhooks::{Hook, HookEdit, NewHook};
use crate::state::App;
use crate::web::problems::Problems;
use serde::Deserialize;

/// A content type, with its label and meaning.
pub(super) type Content = (HookContent, &'static str, &'static str);

/// The content types, with label and meaning.
pub(super) const CONTENTS: [Content; 2] = [
    (HookContent::Json, "JSON", "The body is the JSON payload."),
    (HookContent::Form, "Form", "The body is form data, with the JSON payload in a field named \"payload\"."),
];

/// The form as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct HookForm {
    pub(super) url: String,
    pub(super) content_type: String,
    pub(super) secret: String,
    /// Whether to remove the secret. Browsers send unchecked boxes not at all.
    pub(super) drop_secret: Option<String>,
    pub(super) authorization: String,
    pub(super) drop_authorization: Option<String>,
    pub(super) active: Option<String>,
}

impl HookForm {
    pub(super) fn of(hook: &Hook) -> Self {
        Self {
            url: hook.url.to_string(),
            content_type: hook.content.to_string(),
            active: hook.active.then(|| "on".to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn fresh() -> Self {
        Self { content_type: HookContent::Json.to_string(), active: Some("on".to_owned()), ..Self::default() }
    }

    fn url(&self, app: &App, problems: &mut Problems) -> Option<HookUrl> {
        let url: HookUrl = problems.take("url", self.url.trim().parse())?;
        problems.take("url", app.outbound.check(url.as_str()))?;
        Some(url)
    }

    /// A field that can be empty.
    fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
        field: &'static str,
        text: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        if text.is_empty() { None } else { problems.take(field, text.parse()) }
    }

    pub(super) fn read_new(&self, app: &App, problems: &mut Problems) -> Option<NewHook> {
        let url = self.url(app, problems);
        let content = problems.take("content_type", self.content_type.parse());
        let secret = Self::optional("secret", &self.secret, problems);
        let authorization = Self::optional("authorization", self.authorization.trim(), problems);
        let new = NewHook {
            kind: HookKind::Gitea,
            url: url?,
            content: content?,
            secret,
            authorization,
            active: self.active.is_some(),
        };
        problems.is_empty().then_some(new)
    }

    pub(super) fn read_edit(&self, app: &App, problems: &mut Problems) -> Option<HookEdit> {
        let url = self.url(app, problems);
        let content = problems.take("content_type", self.content_type.parse());
        let secret = Self::optional("secret", &self.secret, problems).map(Some);
        let authorization = Self::optional("authorization", self.authorization.trim(), problems).map(Some);
        let edit = HookEdit {
            url: Some(url?),
            content: Some(content?),
            secret: secret.or(self.drop_secret.is_some().then_some(None)),
            authorization: authorization.or(self.drop_authorization.is_some().then_some(None)),
            active: Some(self.active.is_some()),
        };
        problems.is_empty().then_some(edit)
    }
}
