-- Whether the house is well.

create function private.get_health()
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object('status', 'ok', 'dawn_late_seconds', private.dawn_late_seconds(private.clock()));
end;

create function public.get_health()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_health();
end;
comment on function public.get_health is
'Whether the house is well, for the edge''s /health/ready. For the service role alone.

Returns {status, dawn_late_seconds}: how late the most overdue Dawn is, 0 when none is.';
grant execute on function public.get_health, private.get_health to service_role;
