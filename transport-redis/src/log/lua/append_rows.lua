-- Appends the entries from ARGV[first] to ARGV[last]: nonce, cache, scope and items of each, in turn. Ids are dense: they
-- follow the stream's own last one. Each row names the nonce of the one before it, where that is still there.
-- The number before the first.
local function append_rows(key, history, keep, first, last)
  local stream = named(redis.call('XINFO', 'STREAM', key))
  local before = tonumber(string.match(stream['last-generated-id'], '^(%d+)'))
  if before + (last - first + 1) / 4 > 9007199254740991 then return nil end
  local newest, prev = stream['last-entry'], ''
  if newest and newest[1] == stream['last-generated-id'] then prev = nonce_of(newest[2]) end
  local now = redis.call('TIME')
  local at, clock = string.format('%.0f', now[1] * 1000000 + now[2]), string.sub(history, 1, 8)
  local number = before
  for entry = first, last, 4 do
    number = number + 1
    redis.call('XADD', key, 'MAXLEN', '~', keep, string.format('%.0f-0', number),
      'nonce', ARGV[entry], 'prev', prev, 'at', at, 'clock', clock,
      'cache', ARGV[entry + 1], 'scope', ARGV[entry + 2], 'items', ARGV[entry + 3])
    prev = ARGV[entry]
  end
  return before
end
