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
head[8] = newest and newest[1] == last and nonce_of(newest[2])
-- That of the row at exactly this id, or false. The first and the last row are here already, however large they are.
local function nonce_at(id)
  if newest and newest[1] == id then return nonce_of(newest[2]) end
  local row = oldest and oldest[1] == id and oldest or redis.call('XRANGE', key, id, id)[1]
  return row and nonce_of(row[2]) or false
end
head[9] = ARGV[4] ~= '' and nonce_at(ARGV[4])
head[10] = took_over and 1 or 0
if after == '' then return head end
head[11] = nonce_at(after)
-- A row larger than any of a log is not sent whole: without its items it widens to its cache, or to what it says.
local function cut(row)
  local fields, kept = named(row[2]), {}
  for _, name in ipairs({'nonce', 'prev', 'cache', 'scope'}) do
    if fields[name] then
      kept[#kept + 1] = name
      kept[#kept + 1] = string.sub(fields[name], 1, name == 'cache' and 1024 or 64)
    end
  end
  row[2] = kept
end
local function size(row)
  local size = 0
  for _, text in ipairs(row[2]) do size = size + #text end
  return size
end
local rows, bytes, most, room, step = {}, 0, tonumber(ARGV[2]), tonumber(ARGV[3]), 1
local more, count, full
local last_of_all = '18446744073709551615-18446744073709551615'
repeat
  count = math.min(step, most - #rows)
  -- Nothing is behind the last id; and behind the last one there can be, the server takes the question for a mistake.
  more = (after == last or after == last_of_all) and {} or redis.call('XRANGE', key, '(' .. after, '+', 'COUNT', count)
  for _, row in ipairs(more) do
    rows[#rows + 1] = row
    after = row[1]
    if size(row) > 16777216 then cut(row) end
    bytes = bytes + size(row)
    if bytes >= room then full = true break end
  end
  -- As many as will fit if they are as large as those so far; not many at once, since what is too much is fetched too.
  local fit = math.floor((room - bytes) * #rows / math.max(bytes, 1))
  step = math.max(1, math.min(step * 4, fit, 100))
until #more < count or #rows >= most or bytes >= room
head[12] = rows
head[13] = #more < count and not full and 1 or 0
return head
