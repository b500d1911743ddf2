"""A Jenkins that walks the way of a commit: started once, followed, agreed to, asked for what it leaves. The home of jenkinsapi."""
