-- now_test: as now, moved by the offset key that the test loader appends to KEYS.
local lash_time = redis.call('TIME')
local now_us = lash_time[1] * 1000000 + lash_time[2] + tonumber(redis.call('GET', table.remove(KEYS)) or '0')
local now_ms = math.floor(now_us / 1000)
local function F(number) return string.format('%.0f', number) end
