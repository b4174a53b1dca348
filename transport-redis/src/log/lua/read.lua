-- ARGV: the id to read on from, nothing for the head alone; at most how many rows, and after how many bytes to stop; the
-- id of a row that the caller knows, or nothing.
local key, after = KEYS[1], ARGV[1]
local role, history, took_over = server()
if role ~= 'master' then return {role} end
local kind, version, epoch = mark(key)
if not version then return {role, history, kind} end
local stream = named(redis.call('XINFO', 'STREAM', key))
local last, oldest, newest = stream['last-generated-id'], stream['first-entry'], stream['last-entry']
local head = {role, history, kind, version, epoch, last}
head[7] = oldest and oldest[1]
head[8] = newest and newest[1] == last and (named(newest[2]).nonce or '')
head[9] = ARGV[4] ~= '' and nonce_at(key, ARGV[4])
head[10] = took_over and 1 or 0
if after == '' then return head end
head[11] = nonce_at(key, after)
local rows, bytes, most, room, step = {}, 0, tonumber(ARGV[2]), tonumber(ARGV[3]), 1
local more, count, cut
local last_of_all = '18446744073709551615-18446744073709551615'
repeat
  count = math.min(step, most - #rows)
  -- Nothing is behind the last id there can be, and the server takes the question for a mistake.
  more = after == last_of_all and {} or redis.call('XRANGE', key, '(' .. after, '+', 'COUNT', count)
  for _, row in ipairs(more) do
    rows[#rows + 1] = row
    after = row[1]
    for _, text in ipairs(row[2]) do bytes = bytes + #text end
    if bytes >= room then cut = true break end
  end
  -- As many as will fit if they are as large as those so far; not many at once, since what is too much is fetched too.
  local fit = math.floor((room - bytes) * #rows / math.max(bytes, 1))
  step = math.max(1, math.min(step * 4, fit, 100))
until #more < count or #rows >= most or bytes >= room
head[12] = rows
head[13] = #more < count and not cut and 1 or 0
return head
