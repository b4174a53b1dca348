use invalidation_derive::CacheKey;

#[derive(CacheKey)]
#[cache_key(krate = "invalidation_core")]
struct UserId(i64);

fn main() {}
