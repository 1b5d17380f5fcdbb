//! Long lists: their pages, and their order.

use crate::error::{Error, Result};
use std::str::FromStr;

/// One page of a list, and the length of the whole list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: i64,
}

/// The requested page: how many rows to skip and how many to return.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    pub offset: i64,
    pub limit: i64,
}

impl Slice {
    /// All rows.
    pub const WHOLE: Self = Self { offset: 0, limit: i64::MAX };

    /// These rows of a list that is in memory.
    pub fn cut<T>(self, all: Vec<T>) -> Vec<T> {
        let number = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        all.into_iter().skip(number(self.offset)).take(number(self.limit)).collect()
    }
}

/// An order by time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByAge {
    #[default]
    OldestFirst,
    NewestFirst,
}

impl FromStr for ByAge {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "oldest" => Ok(Self::OldestFirst),
            "newest" => Ok(Self::NewestFirst),
            _ => Err(Error::invalid("order", "order: use oldest or newest")),
        }
    }
}
