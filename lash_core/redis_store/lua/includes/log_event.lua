-- Appends one plain event of lash's own to a log. Needs now.
-- log_fault(row, body, events_max, log_bytes_max): the refusal of a full log, or nil. row: its q and lb.
-- log_event(log_key, row, field, body): the control fields to set, names and values; row.q is the event's sequence then.
local function log_fault(row, body, events_max, log_bytes_max)
  if tonumber(row.q or '0') >= tonumber(events_max) then return { 'limit', 'events' } end
  if tonumber(row.lb or '0') + #body > tonumber(log_bytes_max) then return { 'limit', 'log_bytes' } end
  return nil
end
local function log_event(log_key, row, field, body)
  row.q = F(tonumber(row.q or '0') + 1)
  redis.call('RPUSH', log_key, F(now_ms) .. ';' .. body)
  return { 'q', row.q, 'lb', F(tonumber(row.lb or '0') + #body), field, row.q }
end
