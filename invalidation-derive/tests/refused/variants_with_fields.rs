use invalidation_derive::CacheKey;

#[derive(CacheKey)]
#[cache_key(crate = "invalidation_core")]
enum Owner {
    Nobody,
    User(i64),
    Team { id: i64 },
}

fn main() {}
