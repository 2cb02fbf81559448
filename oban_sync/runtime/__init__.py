"""Every thread of oban_sync lives here, each on a page of its own. What they do to jobs is in lifecycle/."""
