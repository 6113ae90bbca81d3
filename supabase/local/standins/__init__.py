"""Stand-ins for Supabase Auth and Realtime: for development and tests only, never deployed."""
