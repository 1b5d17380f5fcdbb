//! Pages of long lists.

/// One page of a list, and how long the whole list is.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: i64,
}

/// Which page of a list is wanted: how many rows to pass over, and how many to take.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    pub offset: i64,
    pub limit: i64,
}
