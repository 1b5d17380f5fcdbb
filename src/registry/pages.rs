//! Pages of long lists.

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
