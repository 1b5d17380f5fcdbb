//! Problems of a form, shown beside the fields they are about.

use super::page::Reply;
use crate::error::{Error, Result};
use actix_web::http::StatusCode;
use askama::Template;

/// The problems of a form. Templates look up the problem of a field by its name, and show the others above the form.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    fields: Vec<(&'static str, String)>,
    general: Option<String>,
    status: Option<StatusCode>,
    retry_after: Option<u64>,
}

/// Turns an error message into a sentence for a page. Messages start in lower case, and some start with their field.
pub(super) fn sentence(field: &str, text: &str) -> String {
    let text = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text);
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

impl Problems {
    /// One problem of a field.
    pub fn on(field: &'static str, text: &str) -> Self {
        let mut problems = Self::default();
        problems.add(field, text);
        problems
    }

    /// One problem of the whole form, with the status of the answer.
    pub fn whole(status: StatusCode, text: &str) -> Self {
        Self { general: Some(sentence("", text)), status: Some(status), ..Self::default() }
    }

    /// Too many attempts; the sender may try again after this many seconds. `instead` ends the sentence.
    pub fn limited(retry_after: u64, instead: &str) -> Self {
        let minutes = retry_after.div_ceil(60);
        let plural = if minutes == 1 { "" } else { "s" };
        let text = format!("too many attempts: try again in {minutes} minute{plural}{instead}");
        Self { retry_after: Some(retry_after), ..Self::whole(StatusCode::TOO_MANY_REQUESTS, &text) }
    }

    /// Adds a problem of a field. If a field has several, the first is shown.
    pub fn add(&mut self, field: &'static str, text: &str) {
        self.fields.push((field, sentence(field, text)));
    }

    /// Returns a value, or adds its error as a problem of the field.
    pub fn take<T, E: std::fmt::Display>(&mut self, field: &'static str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(field, &error.to_string())).ok()
    }

    /// Whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.general.is_none()
    }

    /// The problems that the sender can fix; `taken` is the field whose value must be unique.
    ///
    /// # Errors
    /// Any other error.
    pub fn of(error: Error, taken: &'static str) -> Result<Self> {
        Ok(match error {
            Error::Invalid { field: "form" | "query", .. } => return Err(error),
            Error::Invalid { field, problem } => Self::on(field, &problem),
            Error::Conflict(_) => Self::on(taken, "this name is taken: choose another"),
            Error::Blocked(text) | Error::Clash(text) | Error::WrongState(text) => {
                Self::whole(StatusCode::UNPROCESSABLE_ENTITY, &text)
            }
            Error::RateLimited { retry_after, .. } => Self::limited(retry_after, ""),
            other => return Err(other),
        })
    }

    /// Like [`Problems::of`], for pages that check the right themselves when they are shown again: what is forbidden
    /// then breaks a rule, and is shown like any other problem. A rejected value always belongs to the field `taken`.
    ///
    /// # Errors
    /// Any other error.
    pub fn of_rule(error: Error, taken: &'static str) -> Result<Self> {
        match error {
            Error::Forbidden(text) => Ok(Self::whole(StatusCode::UNPROCESSABLE_ENTITY, &text)),
            Error::Invalid { field, problem } => Ok(Self::on(taken, &sentence(field, &problem))),
            other => Self::of(other, taken),
        }
    }

    /// The problem of a field.
    pub fn at(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, text)| text.as_str())
    }

    /// All problems, for the summary above the form: each with the id of the input it is about, if the form has it.
    /// `inputs` are the names of the form's inputs, separated by spaces; one with another id than its name is `name:id`.
    pub fn summary<'a>(&'a self, inputs: &'a str) -> Vec<(Option<&'a str>, &'a str)> {
        let id_of = |name: &str| {
            let mut known = inputs.split(' ').map(|input| input.split_once(':').unwrap_or((input, input)));
            known.find(|(known, _)| *known == name).map(|(_, id)| id)
        };
        let mut all: Vec<_> = self.general.iter().map(|text| (None, text.as_str())).collect();
        for (index, (name, text)) in self.fields.iter().enumerate() {
            let is_first = !self.fields.iter().take(index).any(|(other, _)| other == name);
            all.extend(is_first.then(|| (id_of(name), text.as_str())));
        }
        all
    }

    /// The first problem as JSON, for our own scripts: `{"message": …}`.
    ///
    /// # Errors
    /// As [`Reply::json`].
    pub fn reply_json(&self) -> Result<Reply> {
        let message = self.summary("").into_iter().next().map(|(_, text)| text).unwrap_or_default();
        let status = self.status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
        Ok(Reply::json(status, &serde_json::json!({"message": message}))?.retry_after(self.retry_after))
    }

    /// The page with the form, shown again.
    ///
    /// # Errors
    /// As [`Reply::page_with`].
    pub fn reply(&self, page: &impl Template) -> Result<Reply> {
        let reply = Reply::page_with(self.status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), page)?;
        Ok(reply.retry_after(self.retry_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::What;

    #[test]
    fn form_errors_appear_at_their_fields_and_other_errors_stay_errors() {
        let of = |error| Problems::of(error, "name");
        let email = of(Error::invalid("email", "email: the address a@b is taken")).unwrap();
        assert_eq!(email.at("email"), Some("The address a@b is taken."));
        assert_eq!(email.at("name"), None);
        assert_eq!(email.summary("name email:mail"), [(Some("mail"), "The address a@b is taken.")]);
        assert_eq!(email.summary("name"), [(None, "The address a@b is taken.")], "no field of the form");
        assert_eq!(of(Error::Conflict(What::Token)).unwrap().at("name"), Some("This name is taken: choose another."));
        let limited = of(Error::RateLimited { retry_after: 61, instead: "" }).unwrap();
        assert_eq!(limited.summary("name"), [(None, "Too many attempts: try again in 2 minutes.")]);
        let mut several = Problems::on("name", "name: too long");
        several.add("name", "name: has a space");
        several.add("email", "email: no @");
        let lines = several.summary("name email");
        assert_eq!(lines, [(Some("name"), "Too long."), (Some("email"), "No @.")], "the first of each field");
        assert!(of(Error::NotFound(What::User)).is_err());
        assert!(of(Error::invalid("form", "the form is invalid")).is_err());
    }
}
